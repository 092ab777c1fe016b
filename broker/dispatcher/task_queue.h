#pragma once

#include <cstdint>
#include <ext/pb_ds/assoc_container.hpp>
#include <ext/pb_ds/tree_policy.hpp>
#include <functional>
#include <map>
#include <string>

#include "broker/dispatcher/encoders.h"

namespace millrace::broker {

struct TaskEntry;

// The place of a task in line: higher priorities first, then in order of submission. A task that
// comes back after a failed attempt keeps its order, so it stands before tasks submitted later.
struct Place {
  int priority = 0;
  uint64_t order = 0;

  bool operator<(const Place& other) const {
    return priority != other.priority ? priority > other.priority : order < other.order;
  }
};

// The line of tasks that wait for a worker. It has a lane for each combination of encoders needed
// and worker to avoid: finding a task for a free worker looks at the heads of lanes only, never at
// tasks that it may not take. Adding, removing and telling a position take O(log n). Owned by the
// dispatcher; does not own the tasks.
class TaskQueue {
 public:
  struct Lane {
    EncoderSet needs;
    std::string avoid;  // the name of a worker; empty: none

    auto operator<=>(const Lane&) const = default;
  };

  void Add(Place place, Lane lane, TaskEntry* task);
  // Returns false if no task stood there.
  bool Remove(Place place);

  // The first task of all lanes that `may_take` allows; nullptr if there is none.
  TaskEntry* First(const std::function<bool(const Lane&)>& may_take) const;
  // 1 for the task that is next; 0 for one that is not in the queue.
  int64_t PositionOf(Place place) const;
  // The task that was submitted first, whatever its priority; nullptr if the queue is empty.
  TaskEntry* Oldest() const;

  size_t size() const { return all_.size(); }
  bool empty() const { return all_.empty(); }

 private:
  using Members = std::map<Place, TaskEntry*>;
  struct Standing {
    TaskEntry* task = nullptr;
    std::map<Lane, Members>::iterator lane;
  };
  using Line = __gnu_pbds::tree<Place, Standing, std::less<Place>, __gnu_pbds::rb_tree_tag,
                                __gnu_pbds::tree_order_statistics_node_update>;

  Line all_;
  std::map<Lane, Members> lanes_;  // none is empty
};

}  // namespace millrace::broker
