#include "broker/dispatcher/task_queue.h"

#include <utility>

namespace millrace::broker {

void TaskQueue::Add(Place place, Lane lane, TaskEntry* task) {
  const auto row = lanes_.try_emplace(std::move(lane)).first;
  row->second.emplace(place, task);
  all_.insert({place, Standing{.task = task, .lane = row}});
}

bool TaskQueue::Remove(Place place) {
  const auto found = all_.find(place);
  if (found == all_.end()) return false;
  const auto lane = found->second.lane;
  lane->second.erase(place);
  if (lane->second.empty()) lanes_.erase(lane);
  all_.erase(found);
  return true;
}

TaskEntry* TaskQueue::First(const std::function<bool(const Lane&)>& may_take) const {
  const Members::value_type* best = nullptr;
  for (const auto& [lane, members] : lanes_) {
    const auto& head = *members.begin();
    if ((best == nullptr || head.first < best->first) && may_take(lane)) best = &head;
  }
  return best == nullptr ? nullptr : best->second;
}

int64_t TaskQueue::PositionOf(Place place) const {
  if (all_.find(place) == all_.end()) return 0;
  return static_cast<int64_t>(all_.order_of_key(place)) + 1;
}

TaskEntry* TaskQueue::Oldest() const {
  const Line::const_iterator end = all_.end();
  Line::const_iterator best = end;
  // Visits the first task of each priority in use, which is the oldest of that priority.
  for (Line::const_iterator at = all_.begin(); at != end;
       at = all_.lower_bound(Place{.priority = at->first.priority - 1, .order = 0})) {
    if (best == end || at->first.order < best->first.order) best = at;
  }
  return best == end ? nullptr : best->second.task;
}

}  // namespace millrace::broker
