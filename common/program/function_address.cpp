#include "common/program/function_address.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "common/program/loaded_module.h"
#include "common/program/memory.h"

namespace knee::program {
namespace {

std::string display_name(const std::string& module) {
  return module.empty() ? "the executable" : "'" + module + "'";
}

const LoadedModule& module_at(const std::vector<LoadedModule>& modules, std::uintptr_t address) {
  for (const LoadedModule& module : modules)
    if (module.contains(address)) return module;
  std::ostringstream text;
  text << "the function at 0x" << std::hex << address
       << " cannot run on another machine: it is in no file of the program";
  throw std::runtime_error(text.str());
}

const LoadedModule& module_named(const std::vector<LoadedModule>& modules,
                                 const std::string& name) {
  for (const LoadedModule& module : modules)
    if (module.name == name) return module;
  throw std::runtime_error("cannot find a function: " + display_name(name) +
                           " is not loaded in this process");
}

bool is_code(const LoadedModule& module, std::uintptr_t address) {
  return std::any_of(module.ranges.begin(), module.ranges.end(), [address](const auto& range) {
    return range.executable && address >= range.begin && address < range.end;
  });
}

}  // namespace

FunctionAddress locate(const void* function) {
  const auto address = reinterpret_cast<std::uintptr_t>(function);
  const auto modules = loaded_modules();
  const LoadedModule& module = module_at(modules, address);
  if (&module_named(modules, module.name) != &module)
    throw std::runtime_error("two loaded files are named " + display_name(module.name) +
                             ": functions in '" + module.path + "' cannot be told apart");
  return {module.name, address - module.bias};
}

const void* resolve(const FunctionAddress& address) {
  const auto modules = loaded_modules();
  const LoadedModule& module = module_named(modules, address.module);
  const std::uintptr_t place = module.bias + address.offset;
  if (is_code(module, place)) return memory_at<void>(place);
  throw std::runtime_error("cannot find a function: offset " + std::to_string(address.offset) +
                           " of " + display_name(address.module) + " is not code");
}

}  // namespace knee::program
