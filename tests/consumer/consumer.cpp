// A user's program: all it knows of Knee is the include and the target.
#include <knee/knee.h>

#include <iostream>

int square(int x) {
  return x * x;
}

int main(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);
  int sum = 0;
  auto bag = cluster.bag({.name = "squares"});
  for (int i = 1; i <= 10; ++i) bag.call<square>(i).then([&](int x) { sum += x; });
  bag.wait();
  std::cout << "sum " << sum << '\n';
}
