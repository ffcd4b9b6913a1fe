// Callbacks: what to do with a result, what to do with a failure, and work that grows out of
// results. Integrates sin(1/x) from 0 to 1 by bisection: a task estimates the integral over a
// piece; its callback either accepts the estimate or adds the two halves to the bag.
#include <knee/knee.h>

#include <cmath>
#include <iostream>
#include <stdexcept>

struct Piece {
  double begin = 0, end = 0;
};

struct Estimate {
  Piece piece;  // so that the callback knows whose estimate it is
  double value = 0;
  double error = 0;
};

double f(double x) {
  return std::sin(1 / x);
}

double simpson(double a, double b) {
  return (b - a) / 6 * (f(a) + 4 * f((a + b) / 2) + f(b));
}

Estimate integrate(Piece piece) {
  if (piece.begin <= 0) throw std::domain_error("sin(1/x) has no limit at 0");
  const double middle = (piece.begin + piece.end) / 2;
  const double coarse = simpson(piece.begin, piece.end);
  const double fine = simpson(piece.begin, middle) + simpson(middle, piece.end);
  return {piece, fine + (fine - coarse) / 15, std::abs(fine - coarse) / 15};
}

class Integral {
 public:
  explicit Integral(knee::Bag& bag) : bag_(bag) {}

  // Callbacks run one at a time on one thread, so what only they touch needs no lock.
  void add(Piece piece) {
    bag_.call<integrate>(piece).then(
        [this](const Estimate& estimate) { take(estimate); },
        [this, piece](const knee::Error& error) { skip(piece, error); });
  }

  double value = 0;
  double error = 0;
  int accepted = 0;

 private:
  void take(const Estimate& estimate) {
    const auto [begin, end] = estimate.piece;
    if (estimate.error > 1e-9 * (end - begin)) {
      add({begin, (begin + end) / 2});
      add({(begin + end) / 2, end});
    } else {
      value += estimate.value;
      error += estimate.error;
      ++accepted;
    }
  }

  // A failure that is given to a callback counts as handled: wait() does not throw it.
  void skip(Piece piece, const knee::Error& failure) {
    std::cerr << "leaving out [" << piece.begin << ", " << piece.end
              << "]: " << failure.exception_text() << '\n';
    error += piece.end - piece.begin;  // |f| <= 1
  }

  knee::Bag& bag_;
};

int main(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);
  auto bag = cluster.bag({.name = "sin(1/x)"});
  Integral integral(bag);
  integral.add({0, 0.01});
  integral.add({0.01, 1});
  bag.wait();  // also for the tasks that callbacks have added
  std::cout << "integral " << integral.value << " +- " << integral.error << ", "
            << integral.accepted << " pieces\n";
  // From 0.01 to 1 it is sin(1) - Ci(1) - 0.01 sin(100) + Ci(100).
  return std::abs(integral.value - 0.5039819) < 1e-6 ? 0 : 1;
}
