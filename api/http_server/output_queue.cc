#include "api/http_server/output_queue.h"

#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace millrace::http {
namespace {

// One client on a fast link may take this much before others have their turn.
constexpr uint64_t kTurnBytes = 4 << 20;
constexpr size_t kSendfileBytes = 1 << 20;

}  // namespace

void OutputQueue::PushBytes(std::string bytes) {
  if (bytes.empty()) return;
  queued_bytes_ += bytes.size();
  Item& item = items_.emplace_back();
  item.bytes = std::move(bytes);
}

void OutputQueue::PushFile(UniqueFd file, ByteRange part) {
  if (part.length == 0) return;
  Item& item = items_.emplace_back();
  item.file = std::move(file);
  item.part = part;
}

OutputQueue::Flushed OutputQueue::FlushTo(int socket) {
  const uint64_t turn_end = sent_bytes_ + kTurnBytes;
  while (!items_.empty()) {
    if (sent_bytes_ >= turn_end) return Flushed::kYielded;
    const ssize_t sent = SendSome(socket);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Flushed::kBlocked;
    if (sent <= 0) return Flushed::kFailed;
    sent_bytes_ += static_cast<uint64_t>(sent);
    const Item& front = items_.front();
    if (front.sent == front.bytes.size() && front.part.length == 0) items_.pop_front();
  }
  return Flushed::kEmpty;
}

ssize_t OutputQueue::SendSome(int socket) {
  Item& item = items_.front();
  if (item.file) {
    auto offset = static_cast<off_t>(item.part.first);
    const auto wanted = static_cast<size_t>(std::min<uint64_t>(item.part.length, kSendfileBytes));
    const ssize_t sent = ::sendfile(socket, item.file.get(), &offset, wanted);
    if (sent > 0) {
      item.part.first += static_cast<uint64_t>(sent);
      item.part.length -= static_cast<uint64_t>(sent);
    }
    return sent;
  }
  // MSG_MORE: the head and the first bytes of what follows share a packet.
  const int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (items_.size() > 1 ? MSG_MORE : 0);
  const ssize_t sent =
      ::send(socket, item.bytes.data() + item.sent, item.bytes.size() - item.sent, flags);
  if (sent > 0) {
    item.sent += static_cast<size_t>(sent);
    queued_bytes_ -= static_cast<size_t>(sent);
  }
  return sent;
}

void OutputQueue::Clear() {
  items_.clear();
  queued_bytes_ = 0;
}

}  // namespace millrace::http
