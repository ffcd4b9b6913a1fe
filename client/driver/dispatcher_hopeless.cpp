// Dispatcher: what can never be, and must not be waited for.

#include "client/driver/dispatcher.h"
#include "client/driver/failure.h"

namespace knee::driver {

std::string Dispatcher::hopeless() const {
  if (!shipment_.problem().empty()) return shipment_.problem();
  if (!driver_.options().listen.empty()) return {};  // a better one may come
  std::string why;
  for (const auto& link : links_) {
    if (!link) continue;
    if (link->unfit().empty()) return {};
    why += (why.empty() ? "slave " : "\nslave ") + link->name() + ": " + link->unfit();
  }
  return why;
}

void Dispatcher::refuse_unknown_names() {
  if (!driver_.options().listen.empty()) return;
  std::vector<std::string> names;
  for (const auto& link : links_) {
    if (!link) continue;
    if (!link->is_up()) return;  // this may be the one
    names.push_back(link->name());
  }
  waits_for_name_ = false;
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    if (!tasks_[i] || tasks_[i]->pinned == UINT32_MAX) continue;
    const auto wanted = id_of_[tasks_[i]->pinned];
    if (link_of(wanted) != nullptr) continue;
    const auto id = TaskId::unpack(tasks_[i]->id);
    scheduler_.cancel(id);
    fail(id, no_such_slave_error(*tasks_[i], name_of(wanted), names));
  }
  for (std::uint32_t i = 0; i < id_of_.size(); ++i) {
    if (link_of(id_of_[i]) != nullptr || !objects_->waits_for(i)) continue;
    objects_->give_up(i, [&](const detail::TaskState& task) {
      return no_such_slave_error(task, name_of(id_of_[i]), names);
    });
  }
  flush_completions();
}

std::string Dispatcher::name_of(SlaveId slave) const {
  for (const auto& [name, id] : names_)
    if (id == slave) return name;
  return {};
}

}  // namespace knee::driver
