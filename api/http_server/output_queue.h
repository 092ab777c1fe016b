#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "api/http_server/byte_range.h"
#include "core/base/unique_fd.h"

namespace millrace::http {

// The unsent output of a connection: bytes and parts of files, in order. Never blocks. Guarded by
// its connection's mutex; bounds are kept by the connection.
class OutputQueue {
 public:
  enum class Flushed {
    kEmpty,    // all is with the kernel
    kBlocked,  // the socket takes no more now
    kYielded,  // more could be sent, but others want a turn
    kFailed,   // the client is gone, or a file is shorter than promised
  };

  void PushBytes(std::string bytes);
  void PushFile(UniqueFd file, ByteRange part);
  Flushed FlushTo(int socket);
  void Clear();

  bool empty() const { return items_.empty(); }
  // Unsent bytes in memory; parts of files do not count.
  size_t queued_bytes() const { return queued_bytes_; }
  // Grows with every byte sent; tells a slow reader from a stalled one.
  uint64_t sent_bytes() const { return sent_bytes_; }

 private:
  struct Item {
    std::string bytes;
    size_t sent = 0;
    UniqueFd file;
    ByteRange part;  // what is left of the file's part
  };

  // Sends once from the first item; returns what the system call did.
  ssize_t SendSome(int socket);

  std::deque<Item> items_;
  size_t queued_bytes_ = 0;
  uint64_t sent_bytes_ = 0;
};

}  // namespace millrace::http
