#pragma once
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <utility>

#include "common/rpc/rpc_loop.h"

namespace knee::slave {

/// The threads that may block on the disk. Used from the loop; destruction waits for what runs.
class DiskPool {
 public:
  /// Runs `work` on the pool; the promise resolves on the loop. See rpc::offload.
  template <class Work>
  auto run(Work work) {
    return rpc::offload([this](auto job) { boost::asio::post(pool_, std::move(job)); },
                        std::move(work));
  }

 private:
  boost::asio::thread_pool pool_{2};
};

}  // namespace knee::slave
