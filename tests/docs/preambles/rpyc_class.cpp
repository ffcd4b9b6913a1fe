#include <knee/knee.h>

struct MyClass {
  explicit MyClass(double t);
  int f(int n);
  double t;
};

void use(knee::Cluster& cluster, const knee::Slave& slave, const knee::Ref<MyClass>& o,
         MyClass& object) {
  // BLOCK
}
