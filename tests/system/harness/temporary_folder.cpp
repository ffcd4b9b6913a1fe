#include "temporary_folder.h"

#include <cstdlib>

#include "common/base/check.h"

namespace knee::test {

TemporaryFolder::TemporaryFolder() {
  std::string name = std::filesystem::temp_directory_path() / "knee-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) throw_errno("cannot make a folder '" + name + "'");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace knee::test
