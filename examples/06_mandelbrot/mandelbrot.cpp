// Paints the Mandelbrot set into a PNG file that fills up while the tiles come in; open it with a
// viewer that reloads.  mandelbrot [FILE] [WIDTH]
#include <knee/knee.h>
#include <png.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

struct Rectangle {
  int x = 0, y = 0, width = 0, height = 0;  // pixels
};

struct View {
  std::complex<double> corner;  // top left
  double pixel = 0;             // width of a pixel in the plane
};

struct Tile {
  Rectangle where;
  std::vector<std::uint8_t> rgb;
};

// Steps until z -> z^2 + c leaves the circle of radius 2, or `limit`.
int escape_time(std::complex<double> c, int limit) {
  std::complex<double> z = 0;
  int n = 0;
  for (; n < limit && std::norm(z) < 4; ++n)
    z = {z.real() * z.real() - z.imag() * z.imag() + c.real(), 2 * z.real() * z.imag() + c.imag()};
  return n;
}

Tile paint(View view, Rectangle where) {
  constexpr int kLimit = 2000;
  Tile tile{where, {}};
  for (int y = where.y; y < where.y + where.height; ++y) {
    for (int x = where.x; x < where.x + where.width; ++x) {
      const int n = escape_time(view.corner + view.pixel * std::complex<double>(x, -y), kLimit);
      const double shade = n == kLimit ? 0 : std::min(1.0, 0.1 + 0.15 * std::log2(1.0 + n));
      tile.rgb.push_back(static_cast<std::uint8_t>(255 * shade * shade));
      tile.rgb.push_back(static_cast<std::uint8_t>(255 * shade));
      tile.rgb.push_back(static_cast<std::uint8_t>(n == kLimit ? 0 : 80 + 175 * shade));
    }
  }
  return tile;
}

class Picture {
 public:
  Picture(std::string file, int width, int height)
      : file_(std::move(file)), width_(width), height_(height), rgb_(3 * pixels()) {}

  void add(const Tile& tile) {
    for (int y = 0; y < tile.where.height; ++y) {
      const auto* const from = tile.rgb.data() + 3 * y * tile.where.width;
      std::copy(from, from + 3 * tile.where.width,
                rgb_.data() + 3 * (std::size_t(tile.where.y + y) * width_ + tile.where.x));
    }
  }

  // By way of a second file, so that a viewer never sees half a picture.
  void save() const {
    const std::string part = file_ + ".part";
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    image.width = static_cast<png_uint_32>(width_);
    image.height = static_cast<png_uint_32>(height_);
    image.format = PNG_FORMAT_RGB;
    if (!png_image_write_to_file(&image, part.c_str(), 0, rgb_.data(), 0, nullptr))
      throw std::runtime_error("cannot write '" + part + "': " + image.message);
    std::filesystem::rename(part, file_);
  }

 private:
  std::size_t pixels() const { return std::size_t(width_) * height_; }

  std::string file_;
  int width_;
  int height_;
  std::vector<std::uint8_t> rgb_;
};

int main(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);
  const std::string file = argc > 1 ? argv[1] : "mandelbrot.png";
  const int width = argc > 2 ? std::atoi(argv[2]) : 1800;
  const int height = width * 2 / 3;
  if (width < 3) {
    std::cerr << "usage: " << argv[0] << " [FILE] [WIDTH]\n";
    return 2;
  }

  Picture picture(file, width, height);
  auto last_saved = std::chrono::steady_clock::now();
  const View view{{-2.2, 1.2}, 3.6 / width};
  constexpr int kTile = 64;
  auto bag = cluster.bag({.name = "mandelbrot"});
  for (int y = 0; y < height; y += kTile)
    for (int x = 0; x < width; x += kTile)
      bag.call<paint>(view,
                      Rectangle{x, y, std::min(kTile, width - x), std::min(kTile, height - y)})
          .then([&](const Tile& tile) {
            picture.add(tile);
            const auto now = std::chrono::steady_clock::now();
            if (now - last_saved < std::chrono::milliseconds(500)) return;
            last_saved = now;
            picture.save();
          });
  bag.wait();
  picture.save();
  std::cout << file << ": " << width << " x " << height << '\n';
}
