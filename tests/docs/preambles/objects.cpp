#include <knee/knee.h>

#include <fstream>
#include <iostream>
#include <string>
#include <vector>

struct Log {
  explicit Log(const std::string& path);
  int write(const std::string& line);
  std::ofstream out;
  int lines = 0;
};

int draw(int points, const knee::Function<void(int)>& progress);
void note(const knee::Ref<Log>& log, const std::string& line);

struct Telescope {
  knee::Ref<Log> open_log(const std::string& path);
  double focus = 1.0;
  std::vector<double> sweep(const std::vector<double>& angles,
                            const knee::Function<void(double)>& progress);
};

void use(knee::Cluster& cluster, const knee::Slave& gandalf) {
  (void)cluster;
  (void)gandalf;
  {
    // BLOCK
  }
}
