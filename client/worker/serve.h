#pragma once

namespace knee::worker {

/// If this process was started as a worker: serves tasks until its slave has no more for it, and
/// ends the process. Otherwise returns. Before any other thread exists.
void serve_if_worker();

}  // namespace knee::worker
