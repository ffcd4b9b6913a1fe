#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <string>
#include <vector>

/// The schemas as people read them: everything in them has a comment, and ordinals are as they must
/// be.
namespace {

struct Declaration {
  std::string what;  ///< "struct", "enum", "interface", "union", or "" for what has an ordinal
  std::string name;
  int ordinal = -1;
  std::string scope;  ///< of its ordinal: the struct around it, ".Task"
  bool commented = false;
  int line = 0;
};

std::vector<std::string> lines_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

std::string code_of(const std::string& line) {
  return line.substr(0, line.find('#'));
}

/// A comment on the line itself or, as Cap'n Proto has it, below it.
bool has_comment(const std::vector<std::string>& lines, std::size_t at) {
  if (lines[at].find('#') != std::string::npos) return true;
  // A method's or field's declaration may take several lines.
  while (at + 1 < lines.size() && code_of(lines[at]).find_first_of(";{") == std::string::npos) ++at;
  static const std::regex only_comment("^\\s*#.*");
  return at + 1 < lines.size() && std::regex_match(lines[at + 1], only_comment);
}

/// Line by line; one declaration to a line.
std::vector<Declaration> declarations_of(const std::filesystem::path& path) {
  static const std::regex scope(
      "^\\s*(struct|enum|interface|union|(\\w+)\\s*:group)\\s*(\\w*).*\\{.*");
  static const std::regex numbered("^\\s*(\\w+)\\s*@(\\d+).*");
  const auto lines = lines_of(path);
  std::vector<Declaration> found;
  std::vector<std::string> scopes;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string code = code_of(lines[i]);
    std::smatch match;
    Declaration declaration;
    declaration.line = static_cast<int>(i) + 1;
    declaration.commented = has_comment(lines, i);
    if (std::regex_match(code, match, scope)) {
      declaration.what = match[1];
      declaration.name = match[3];
      found.push_back(declaration);
      // Members of unions and groups are numbered with those of the struct around them.
      const bool own = match[3].length() != 0 && match[1] != "union";
      const std::string outer = scopes.empty() ? "" : scopes.back();
      scopes.push_back(own ? outer + "." + match[3].str() : outer);
      if (code.find('}') != std::string::npos) scopes.pop_back();
      continue;
    }
    if (std::regex_match(code, match, numbered)) {
      declaration.name = match[1];
      declaration.ordinal = std::stoi(match[2]);
      declaration.scope = scopes.empty() ? "" : scopes.back();
      found.push_back(declaration);
    }
    if (code.find('}') != std::string::npos && code.find('{') == std::string::npos &&
        !scopes.empty())
      scopes.pop_back();
  }
  return found;
}

std::vector<std::filesystem::path> schemas() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(KNEE_SCHEMAS))
    if (entry.path().extension() == ".capnp") paths.push_back(entry.path());
  return paths;
}

}  // namespace

TEST_CASE("there are the three schemas, with much in them") {
  std::size_t fields = 0;
  for (const auto& path : schemas()) fields += declarations_of(path).size();
  CHECK(schemas().size() >= 3);
  CHECK(fields > 150);
}

TEST_CASE("every field, method and enumerant has a comment, and so has every enum") {
  for (const auto& path : schemas())
    for (const auto& declaration : declarations_of(path)) {
      if (declaration.ordinal < 0 && declaration.what != "enum") continue;
      INFO(path.filename().string() << ":" << declaration.line << ": " << declaration.name);
      CHECK(declaration.commented);
    }
}

TEST_CASE("ordinals are unique and without gaps in every struct, interface and enum") {
  for (const auto& path : schemas()) {
    std::map<std::string, std::vector<int>> ordinals;
    for (const auto& declaration : declarations_of(path))
      if (declaration.ordinal >= 0) ordinals[declaration.scope].push_back(declaration.ordinal);
    for (auto& [scope, numbers] : ordinals) {
      INFO(path.filename().string() << ": " << scope);
      std::sort(numbers.begin(), numbers.end());
      for (std::size_t i = 0; i < numbers.size(); ++i) CHECK(numbers[i] == static_cast<int>(i));
    }
  }
}

TEST_CASE("a schema has an id of its own and says at its head what it is about") {
  for (const auto& path : schemas()) {
    const auto lines = lines_of(path);
    INFO(path.filename().string());
    REQUIRE(lines.size() > 10);
    CHECK(lines[0].starts_with("@0x"));
    CHECK(lines[1].starts_with("# "));
  }
}
