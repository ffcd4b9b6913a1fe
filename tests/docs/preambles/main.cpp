#include <knee/knee.h>

#include <boost/asio.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

namespace asio = boost::asio;

double simulate(double temperature, int seed);
std::string name_of(std::vector<double> spectrum);
void save(const std::string& text);

int main(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);
  auto bag = cluster.bag();
  double sum = 0;
  {
    // BLOCK
  }
  save(std::to_string(sum));
}
