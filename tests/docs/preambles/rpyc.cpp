#include <knee/knee.h>

#include <chrono>
#include <iostream>
#include <string>
#include <vector>

using namespace std::chrono_literals;

void use(knee::Cluster& cluster, const knee::Slave& slave, const knee::Error& error,
         knee::Python py, const knee::Object& f, const knee::Object& o,
         knee::Promise<knee::Value> r, std::string line, int key) {
  const auto g = [](const knee::Value&) {};
  const auto get_x = [] { return 1; };
  // BLOCK
}
