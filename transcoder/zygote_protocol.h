#pragma once

#include <sys/types.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/unique_fd.h"

namespace millrace {

// The messages between a worker and its zygote (`millrace-encode --zygote FD`) over a
// SOCK_SEQPACKET socket pair: one JSON object a packet, descriptors beside it (SCM_RIGHTS).
//
//   worker -> zygote   {"run": "<path of task.json>", "token": "…"} + [report pipe, log file]
//                      {"kill": "<token>", "signal": 9}
//   zygote -> worker   {"started": "<token>", "pid": n}
//                      {"exited": "<token>", "pid": n, "status": raw wait status,
//                       "peak_rss_bytes": n, "cpu_seconds": x}
//                      {"refused": "<token>", "detail": "…"}
//
// A run is answered by `started` and later by exactly one `exited`, or by one `refused`. A kill is
// answered by nothing of its own: the `exited` of the child is the answer, and a kill of a token
// that has already ended (or is unknown) changes nothing. Only the zygote signals its children, and
// only before it has reaped them, so a process number can never be reused in between. When the
// worker closes its end (or dies) the zygote kills all children and exits 0.
//
// The functions are stateless; one thread at a time may receive from a socket, and one may send.

struct ZygoteRun {
  std::string task_path;  // absolute; read by the child before it enters its sandbox
  std::string token;      // chosen by the worker, unique among the runs that have not ended
  UniqueFd report;        // where the child writes its JSON lines (its only writer: EOF at its end)
  UniqueFd log;           // becomes the child's standard error
};

struct ZygoteKill {
  std::string token;
  int signal = 9;
};

using ZygoteRequest = std::variant<ZygoteRun, ZygoteKill>;

struct ZygoteStarted {
  std::string token;
  pid_t pid = 0;
};

struct ZygoteExited {
  std::string token;
  pid_t pid = 0;
  int wait_status = 0;  // raw, for WIFEXITED, WEXITSTATUS, WIFSIGNALED, WTERMSIG
  int64_t peak_rss_bytes = 0;
  double cpu_seconds = 0;  // user and system
};

struct ZygoteRefused {
  std::string token;
  std::string detail;
};

using ZygoteReply = std::variant<ZygoteStarted, ZygoteExited, ZygoteRefused>;

// The result of a receive. `value` is set for kMessage only.
enum class ReceiveStatus { kMessage, kWouldBlock, kClosed };
template <typename T>
struct Received {
  ReceiveStatus status = ReceiveStatus::kWouldBlock;
  std::optional<T> value;
};

struct ZygoteChannel {
  UniqueFd worker;
  UniqueFd zygote;
};

// Both ends are close-on-exec and blocking; the worker clears close-on-exec on the zygote's end in
// the child that becomes the zygote. Throws Error{kInternal}.
ZygoteChannel MakeZygoteChannel();

// Send blocks while the socket's buffer is full (several hundred messages). The descriptors of a
// run are duplicated by the kernel; the caller keeps its own. Throws Error{kWorkerLost} if the
// other end is closed, Error{kInternal} on anything else.
void SendRequest(int socket, const ZygoteRun& run);
void SendRequest(int socket, const ZygoteKill& kill);
void SendReply(int socket, const ZygoteReply& reply);

// Receive blocks unless the socket is non-blocking or `dont_wait` is set (then: kWouldBlock).
// Throws Error{kProtocolError} on a packet that is not one of the above, after it was taken from
// the socket: the next receive finds the next packet.
struct ReceiveOptions {
  bool dont_wait = false;
};
Received<ZygoteRequest> ReceiveRequest(int socket, ReceiveOptions options = {});
Received<ZygoteReply> ReceiveReply(int socket, ReceiveOptions options = {});

// The layer below: one JSON object and up to kMaxPacketFds descriptors in one packet of at most
// kMaxPacketBytes. Received descriptors are close-on-exec.
inline constexpr size_t kMaxPacketBytes = size_t{64} << 10;
inline constexpr size_t kMaxPacketFds = 4;
struct Packet {
  nlohmann::json body;
  std::vector<UniqueFd> fds;
};
void SendMessage(int socket, const nlohmann::json& body, std::span<const int> fds = {});
Received<Packet> ReceiveMessage(int socket, ReceiveOptions options = {});

}  // namespace millrace
