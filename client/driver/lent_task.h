#pragma once
#include <cstdint>
#include <string>
#include <utility>

#include "client/driver/circles.h"
#include "client/driver/lending.h"
#include "client/driver/slave_link.h"

namespace knee::driver {

/// A task that was sent with objects, and has them as long as that holds.
class LentTask final : public Waiter {
 public:
  /// `link`: to the slave it was sent to; outlives this.
  LentTask(SlaveLink& link, std::uint64_t task, Holds holds)
      : link_(link), task_(task), holds_(std::move(holds)) {}

  kj::Promise<Wait> wait() override;
  kj::Promise<void> refuse(std::uint64_t call, const char* why) override;
  bool is_over() const override { return !*holds_; }
  std::string slave_name() const override { return link_.name(); }

 private:
  SlaveLink& link_;
  std::uint64_t task_;
  Holds holds_;
};

}  // namespace knee::driver
