#include "cli/arguments.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>

#include <knee/error.h>

namespace knee::cli {
namespace {

std::shared_ptr<std::istream> open_lines(const std::string& file) {
  if (file == "-") return {&std::cin, [](std::istream*) {}};
  auto stream = std::make_shared<std::ifstream>(file);
  if (!*stream)
    throw Error(Error::Kind::setup,
                "cannot read the arguments in '" + file + "': " + std::strerror(errno));
  return stream;
}

std::vector<std::string> lines_of(const std::vector<std::string>& files) {
  std::vector<std::string> lines;
  for (const auto& file : files) {
    const auto stream = open_lines(file);
    for (std::string line; std::getline(*stream, line);) lines.push_back(line);
  }
  return lines;
}

}  // namespace

Arguments Arguments::from_lines(const std::string& file) {
  Arguments arguments;
  arguments.lines_ = open_lines(file);
  return arguments;
}

Arguments Arguments::from_sources(const std::vector<Words::Source>& sources) {
  Arguments arguments;
  for (const auto& source : sources)
    arguments.sources_.push_back(source.is_file ? lines_of(source.words) : source.words);
  arguments.at_.resize(sources.size(), 0);
  arguments.ended_ = std::any_of(arguments.sources_.begin(), arguments.sources_.end(),
                                 [](const auto& source) { return source.empty(); });
  return arguments;
}

std::optional<std::vector<std::string>> Arguments::next() {
  if (lines_) {
    std::string line;
    if (!std::getline(*lines_, line)) return std::nullopt;
    return std::vector<std::string>{line};
  }
  if (ended_) return std::nullopt;
  std::vector<std::string> job;
  for (std::size_t i = 0; i < sources_.size(); ++i) job.push_back(sources_[i][at_[i]]);
  ended_ = true;
  for (std::size_t i = sources_.size(); i-- > 0 && ended_;) {
    ended_ = ++at_[i] == sources_[i].size();
    if (ended_) at_[i] = 0;
  }
  return job;
}

}  // namespace knee::cli
