#pragma once

#include <cstddef>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "core/base/clock.h"
#include "core/base/mutex.h"

namespace millrace::api {

// Remembers the values that were used last, at most `capacity` of them and none for longer than
// `lifetime`. Thread-safe; values are copied, so they should be small or shared pointers.
template <typename Value>
class RecentMap {
 public:
  RecentMap(const Clock& clock, size_t capacity, std::chrono::milliseconds lifetime)
      : clock_(clock), capacity_(capacity), lifetime_(lifetime) {}

  std::optional<Value> Find(const std::string& key) {
    const MutexLock lock(mutex_);
    const auto found = index_.find(key);
    if (found == index_.end()) return std::nullopt;
    if (found->second->until <= clock_.Now()) {
      Drop(found);
      return std::nullopt;
    }
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->value;
  }

  void Put(const std::string& key, Value value) {
    const MutexLock lock(mutex_);
    if (const auto found = index_.find(key); found != index_.end()) Drop(found);
    entries_.push_front({key, std::move(value), clock_.Now() + lifetime_});
    index_[key] = entries_.begin();
    if (entries_.size() > capacity_) Drop(index_.find(entries_.back().key));
  }

 private:
  struct Entry {
    std::string key;
    Value value;
    MonotonicTime until;
  };
  using Index = std::unordered_map<std::string, typename std::list<Entry>::iterator>;

  void Drop(typename Index::iterator found) REQUIRES(mutex_) {
    entries_.erase(found->second);
    index_.erase(found);
  }

  const Clock& clock_;
  const size_t capacity_;
  const std::chrono::milliseconds lifetime_;
  Mutex mutex_;
  std::list<Entry> entries_ GUARDED_BY(mutex_);  // the last used first
  Index index_ GUARDED_BY(mutex_);
};

}  // namespace millrace::api
