#pragma once

namespace knee::slave {

/// What the process needs before anything else: the signals the daemon waits for (KJ wants them
/// named before threads exist), as many descriptors as it may have, and host names by /etc/hosts
/// and DNS alone.
void prepare_process();

}  // namespace knee::slave
