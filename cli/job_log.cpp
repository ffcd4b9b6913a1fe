#include "cli/job_log.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <knee/error.h>

namespace knee::cli {

JobLog::JobLog(const std::string& path) {
  if (path.empty()) return;
  file_.open(path);
  if (!file_)
    throw Error(Error::Kind::setup,
                "cannot write the job log '" + path + "': " + std::strerror(errno));
  file_ << "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";
}

void JobLog::add(const Job& job) {
  if (!file_.is_open()) return;
  char times[64];
  std::snprintf(times, sizeof times, "%.3f\t%10.3f", job.start, job.run_time);
  file_ << job.number << '\t' << job.host << '\t' << times << '\t' << job.sent << '\t'
        << job.received << '\t' << job.exit_code << '\t' << job.signal << '\t' << job.command
        << std::endl;
}

}  // namespace knee::cli
