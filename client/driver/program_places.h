#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace knee::driver {

/// Where a program that belongs to Knee may be: what the variable names, or else, beside this
/// executable, where it was installed (as seen from libknee.so, or by the path fixed then), in
/// PATH.
struct ProgramPlaces {
  const char* name;          ///< "knee-slave"
  const char* variable;      ///< "KNEE_SLAVE"
  const char* from_library;  ///< relative to the folder of libknee.so
  const char* installed;
  const char* built;  ///< in a tree that is part of another project's; null: it is not
};

/// Empty if it is nowhere; then `looked` has where it was looked for, each on a line of its own.
std::string find_program(const ProgramPlaces& places, std::string& looked);

}  // namespace knee::driver
