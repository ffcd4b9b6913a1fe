#include "cli/copy_line.h"

#include "cli/names.h"
#include "cli/table.h"

namespace knee::cli {
namespace {

constexpr auto kEvery = std::chrono::milliseconds(100);

std::string percent(const CopyProgress& progress) {
  if (progress.size == 0) return "";
  return std::to_string(progress.done * 100 / progress.size) + "%";
}

}  // namespace

CopyLine::~CopyLine() {
  if (open_) out_ << std::endl;
}

void CopyLine::show(const CopyProgress& progress, Clock::time_point now) {
  const bool begins = !open_ || progress.path != path_ || progress.complete != complete_;
  if (begins) {
    if (open_) out_ << '\n';
    path_ = progress.path;
    complete_ = progress.complete;
    begun_ = now;
    open_ = true;
  }
  const bool ends = !begins && progress.done >= progress.size;
  if (!begins && !ends && now - shown_ < kEvery) return;
  shown_ = now;
  const auto seconds = std::chrono::duration<double>(now - begun_).count();
  std::string text = "\r\033[K" + printable(path_) + "  " + percent(progress) + "  " +
                     size_text(static_cast<double>(progress.done));
  if (seconds > 0)
    text +=
        "  " + size_text(static_cast<double>(progress.done - progress.resumed) / seconds) + "/s";
  if (progress.resumed != 0)
    text += "  (" + size_text(static_cast<double>(progress.resumed)) + " were there)";
  out_ << text << std::flush;
}

}  // namespace knee::cli
