#include "transcoder/encode/trailing_hash.h"

#include <fcntl.h>

#include <cerrno>
#include <limits>
#include <utility>

#include "transcoder/encode/file_io.h"
#include "transcoder/encode/sha256.h"

namespace millrace::encode {
namespace {

// Large enough for few changes of thread, small enough to be in a cache still.
constexpr int64_t kStepBytes = 1 << 20;

constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();

bool BeginsWith(int fd, const FileHead& head) {
  Sha256 foreseen;
  foreseen.Update(head);
  Sha256 found;
  UpdateFromFile(found, fd, 0, static_cast<int64_t>(head.size()));
  return found.Finish() == foreseen.Finish();
}

// Only begins: what is on its way to the disk by now need not be waited for in the end. Whole steps
// alone, so that no page goes there twice.
void BeginWriting(int fd, int64_t begin, int64_t end) {
  begin -= begin % kStepBytes;
  end -= end % kStepBytes;
  sync_file_range(fd, begin, end - begin, SYNC_FILE_RANGE_WRITE);
}

}  // namespace

TrailingHash::TrailingHash(std::string path, ForeseeHead foresee)
    : path_(std::move(path)), foresee_(std::move(foresee)) {
  std::packaged_task<std::string(std::stop_token)> task(
      [this](const std::stop_token& stop) { return Run(stop); });
  result_ = task.get_future();
  thread_ = std::jthread(std::move(task));
}

void TrailingHash::Written(int64_t bytes) {
  if (bytes < told_ + kStepBytes) return;
  told_ = bytes;
  {
    const std::lock_guard lock(mutex_);
    state_.written = bytes;
  }
  changed_.notify_one();
}

void TrailingHash::Complete(int64_t rewritten_to) {
  {
    const std::lock_guard lock(mutex_);
    state_.rewritten_to = rewritten_to;
  }
  changed_.notify_one();
}

TrailingHash::State TrailingHash::Await(int64_t bytes, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, stop, [&] { return state_.rewritten_to || state_.written >= bytes; });
  return state_;
}

int64_t TrailingHash::Follow(Sha256& hash, int fd, int64_t begin, const std::stop_token& stop) {
  int64_t done = begin;
  while (!stop.stop_requested()) {
    const State state = Await(done + kStepBytes, stop);
    if (state.rewritten_to || state.written < done + kStepBytes) break;
    const int64_t from = done;
    done = UpdateFromFile(hash, fd, from, state.written);
    BeginWriting(fd, from, done);
  }
  return done;
}

std::string TrailingHash::Run(const std::stop_token& stop) {
  const std::optional<FileHead> head = foresee_ ? foresee_(stop) : std::nullopt;
  if (head) {
    const UniqueFd fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd) ThrowStorageError("open " + path_, errno);
    Sha256 hash;
    hash.Update(*head);
    const auto size = static_cast<int64_t>(head->size());
    const int64_t done = Follow(hash, fd.get(), size, stop);
    const State state = Await(kEnd, stop);
    if (state.rewritten_to && *state.rewritten_to <= size && BeginsWith(fd.get(), *head)) {
      UpdateFromFile(hash, fd.get(), done, kEnd);
      return hash.Finish();
    }
  }
  const State state = Await(kEnd, stop);
  return state.rewritten_to ? Sha256OfFile(path_) : std::string();
}

}  // namespace millrace::encode
