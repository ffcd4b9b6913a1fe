// As codec_cases.cpp, with references and functions.
#include <knee/knee.h>

#include <string>
#include <vector>

namespace {

struct Counter {
  int add(int number) { return value += number; }
  int add(double number) { return value += static_cast<int>(number); }
  knee::Ref<Counter> same(const knee::Ref<Counter>& other) { return other; }
  std::vector<knee::Ref<Counter>> both(const knee::Ref<Counter>& other) { return {other, other}; }
  int value = 0;
  knee::Function<int(int)> asked;
};
struct Other {
  int get() { return 0; }
};
struct Found {
  std::string name;
  knee::Function<int(int)> function;
};

[[maybe_unused]] knee::Ref<Counter> pass_on(const knee::Ref<Counter>& counter) {
  return counter;
}
[[maybe_unused]] Found find(const knee::Function<int(int)>& function) {
  return {"found", function};
}
[[maybe_unused]] knee::Object lookup(const knee::Object& object) {
  return object;
}

}  // namespace

void use(knee::Cluster& cluster, const knee::Ref<Counter>& counter) {
#if CASE == 0  // Compiles: what follows fails for its own reason.
  counter.call<static_cast<int (Counter::*)(int)>(&Counter::add)>(1).get();
  counter.call<&Counter::same>(counter).wait();
#elif CASE == 1
  counter.call<&Counter::add>(1).get();
#elif CASE == 2
  counter.call<&Other::get>().get();
#elif CASE == 3
  cluster.call<pass_on>(counter).get();
#elif CASE == 4
  cluster.call<find>([](int n) { return n; }).get();
#elif CASE == 5
  cluster.call<lookup>(knee::Object()).get();
#elif CASE == 6
  counter.call<&Counter::both>(counter).get();
#elif CASE == 7
  cluster.slave("gandalf").make<Counter>(2, 3, std::string("three")).wait();
#elif CASE == 8
  counter.get<&Counter::asked>().get();
#elif CASE == 9
  counter.set<&Counter::asked>(knee::Function<int(int)>()).get();
#elif CASE == 10
  cluster.share(std::vector{counter});
#elif CASE == 11
  cluster.slave("gandalf").python().builtins("print")(counter);
#elif CASE == 12
  knee::Exposed("sums").method("add", [](int one, int other) { return one + other; }, {"one"});
#endif
  (void)cluster;
  (void)counter;
}
