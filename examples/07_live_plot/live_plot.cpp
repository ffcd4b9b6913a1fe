// A plot that grows while the cluster computes: magnetisation of the two-dimensional Ising model
// against temperature, by Metropolis' algorithm, beside Onsager's exact curve.
//   live_plot              a gnuplot window (packages gnuplot-qt or gnuplot-x11)
//   live_plot FILE.png     a picture, redrawn twice a second
#include <knee/knee.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <utility>
#include <vector>

struct Point {
  double temperature = 0;    // in units of J/k
  double magnetisation = 0;  // per spin, absolute value
};

Point magnetise(double temperature, std::uint64_t seed) {
  constexpr int kSize = 32, kSweeps = 6000, kDiscarded = 2000;
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> chance;
  std::vector<int> spins(kSize * kSize, 1);
  const auto at = [&](int x, int y) -> int& {
    return spins[(y + kSize) % kSize * kSize + (x + kSize) % kSize];
  };
  double sum = 0;
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    int total = 0;
    for (int y = 0; y < kSize; ++y) {
      for (int x = 0; x < kSize; ++x) {
        const int around = at(x + 1, y) + at(x - 1, y) + at(x, y + 1) + at(x, y - 1);
        const int energy = 2 * at(x, y) * around;  // that a flip costs
        if (energy <= 0 || chance(random) < std::exp(-energy / temperature)) at(x, y) *= -1;
        total += at(x, y);
      }
    }
    if (sweep >= kDiscarded) sum += std::abs(total);
  }
  return {temperature, sum / (kSweeps - kDiscarded) / (kSize * kSize)};
}

// A gnuplot process at the other end of a pipe. Lives on the callback thread.
class Plot {
 public:
  explicit Plot(const std::string& file) : gnuplot_(::popen("gnuplot -persist", "w")), file_(file) {
    if (gnuplot_ == nullptr) return;
    if (!file.empty()) std::fprintf(gnuplot_, "set terminal pngcairo size 900,600\n");
    std::fprintf(gnuplot_,
                 "set xlabel 'temperature, J/k'\nset ylabel 'magnetisation per spin'\n"
                 "set yrange [0:1.05]\nset xrange [1.5:3.5]\nset samples 2000\n"
                 "onsager(t) = t < 2.2692 ? (1 - sinh(2 / t)**-4)**0.125 : 0\n");
  }

  void add(Point point) {
    points_.push_back(point);
    const auto now = std::chrono::steady_clock::now();
    if (now - drawn_ > std::chrono::milliseconds(500)) draw();
  }

  void draw() {
    drawn_ = std::chrono::steady_clock::now();
    if (gnuplot_ == nullptr || points_.empty()) return;
    if (!file_.empty()) std::fprintf(gnuplot_, "set output '%s'\n", file_.c_str());
    std::fprintf(gnuplot_,
                 "plot onsager(x) title 'Onsager, infinite lattice' with lines, "
                 "'-' title '%zu runs, 32 x 32' with points pointtype 7\n",
                 points_.size());
    for (const Point& point : points_)
      std::fprintf(gnuplot_, "%g %g\n", point.temperature, point.magnetisation);
    std::fprintf(gnuplot_, "e\n");
    if (!file_.empty()) std::fprintf(gnuplot_, "unset output\n");
    std::fflush(gnuplot_);
  }

  // Draws what is still missing; says whether gnuplot was content.
  bool finish() {
    draw();
    return gnuplot_ != nullptr && ::pclose(std::exchange(gnuplot_, nullptr)) == 0;
  }

 private:
  std::FILE* gnuplot_;
  std::string file_;
  std::vector<Point> points_;
  std::chrono::steady_clock::time_point drawn_;
};

int main(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);
  std::signal(SIGPIPE, SIG_IGN);  // no gnuplot must not end the program in the middle of a plot
  Plot plot(argc > 1 ? argv[1] : "");
  auto bag = cluster.bag({.name = "ising"});
  for (std::uint64_t seed = 0; seed < 3; ++seed)
    for (double temperature = 1.5; temperature <= 3.5; temperature += 0.05)
      bag.call<magnetise>(temperature, seed).then([&](Point point) { plot.add(point); });
  bag.wait();
  if (plot.finish()) return 0;
  std::fprintf(stderr,
               "gnuplot did not draw: is it installed (package gnuplot-nox or gnuplot-qt)?\n");
  return 1;
}
