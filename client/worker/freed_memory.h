#pragma once

/// What a worker's tasks and objects free. To take fresh pages costs more than to fill them, on
/// virtual machines above all, so blocks of tens of megabytes stay in the process from task to
/// task, and go back to the kernel when the worker has nothing to do.
namespace knee::worker {

/// Up to 256 MiB are kept from now on. Does nothing with other allocators than glibc's. Once, at
/// the start.
void keep_freed_memory();

/// All that is kept goes back to the kernel.
void give_back_freed_memory();

}  // namespace knee::worker
