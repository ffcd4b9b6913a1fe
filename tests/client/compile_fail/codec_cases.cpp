// Each case is what a user might write and must not compile; CASE selects one. The expected
// messages are in CMakeLists.txt.
#include <knee/codec.h>

#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

namespace detail = knee::detail;

struct Base {
  int a;
};
struct Derived : Base {
  int b;
};
struct EmptyBase {};
struct DerivedOfEmpty : EmptyBase {
  int b;
};
struct Matrix {
  int rows;
  double cells[9];
  std::string name;
};
struct Flags {
  unsigned a : 3;
  unsigned b : 5;
};
struct Node {
  int value;
  Node* next;
};
struct Fixed {
  const int value = 0;
};
struct Nested {
  std::vector<std::map<std::string, Node>> nodes;
};
struct Large {
  std::array<double, 100'000> cells;
};
class Secret {
 public:
  int get() const { return value_; }

 private:
  int value_ = 0;
};
class OneWay {
 public:
  template <class Archive>
  void save(Archive& archive) const {
    archive(value_);
  }

 private:
  int value_ = 0;
};
struct NoDefault {
  explicit NoDefault(int given) : value(given) {}
  template <class Archive>
  void serialize(Archive& archive) {
    archive(value);
  }
  int value;
};
struct PassesPointer {
  int* target = nullptr;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(target);
  }
};
#define TEN(p) int p##0, p##1, p##2, p##3, p##4, p##5, p##6, p##7, p##8, p##9;
struct Hundred {
  TEN(a) TEN(b) TEN(c) TEN(d) TEN(e) TEN(f) TEN(g) TEN(h) TEN(i) TEN(j)
};
struct HundredAndOne {
  TEN(a) TEN(b) TEN(c) TEN(d) TEN(e) TEN(f) TEN(g) TEN(h) TEN(i) TEN(j) int k;
};

[[maybe_unused]] double area(double width, double height) {
  return width * height;
}
[[maybe_unused]] void fill(std::vector<int>& out) {
  out.clear();
}
[[maybe_unused]] std::size_t length(std::string_view text) {
  return text.size();
}
[[maybe_unused]] const char* title(int) {
  return "";
}

template <class T>
void travel() {
  detail::Bytes bytes;
  detail::encode(bytes, *static_cast<const T*>(nullptr));
  (void)detail::decode<T>(bytes);
}

template <class F, class... Args>
void call(F function, const Args&... args) {
  detail::Bytes bytes, result;
  detail::encode_arguments<F>(bytes, args...);
  detail::invoke_encoded_with(function, bytes, result);
}

}  // namespace

int main() {
#if CASE == 0
  travel<Hundred>();  // Compiles: what follows fails for its own reason.
#elif CASE == 1
  travel<const char*>();
#elif CASE == 2
  travel<Node>();
#elif CASE == 3
  travel<Nested>();
#elif CASE == 4
  travel<std::string_view>();
#elif CASE == 5
  travel<std::span<int>>();
#elif CASE == 6
  travel<Derived>();
#elif CASE == 7
  travel<DerivedOfEmpty>();
#elif CASE == 8
  travel<Matrix>();
#elif CASE == 9
  travel<Flags>();
#elif CASE == 10
  travel<HundredAndOne>();
#elif CASE == 11
  travel<Secret>();
#elif CASE == 12
  travel<OneWay>();
#elif CASE == 13
  travel<NoDefault>();
#elif CASE == 14
  travel<Fixed>();
#elif CASE == 15
  travel<Large>();
#elif CASE == 16
  travel<PassesPointer>();
#elif CASE == 17
  travel<std::shared_ptr<int>>();
#elif CASE == 18
  travel<std::reference_wrapper<int>>();
#elif CASE == 20
  call(&area, 1.0);
#elif CASE == 21
  call(&area, 1.0, std::string("2"));
#elif CASE == 22
  call(&fill, std::vector<int>());
#elif CASE == 23
  call(&length, "text");
#elif CASE == 24
  call(&title, 1);
#elif CASE == 25
  call([](auto x) { return x; }, 1);
#elif CASE == 26
  call([x = 1](int y) { return x + y; }, 1);
#elif CASE == 27
  call([=](int y) { return y; }, 1);
#elif CASE == 28
  call(&Secret::get, Secret());
#elif CASE == 29
  call(42);
#elif CASE == 30
  call([](Node node) { return node.value; }, Node());
#endif
}
