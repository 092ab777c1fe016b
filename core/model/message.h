#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"

namespace millrace {

// The frames that Millrace's programs exchange over ZeroMQ; docs/protocol.md describes each type.
// This file knows no socket. A change here changes docs/protocol.md in the same commit.
//
//   frame 0  protocol version, "MR1"
//   frame 1  type, e.g. "submit"
//   frame 2  message id, chosen by the sender; a reply carries the id of what it answers
//   frame 3  body, a JSON object
//
// (A ROUTER puts the peer's identity before these and takes it off again.)

inline constexpr std::string_view kProtocolVersion = "MR1";
inline constexpr size_t kMaxTypeBytes = 32;
inline constexpr size_t kMaxMessageIdBytes = 64;
inline constexpr size_t kMaxBodyBytes = 4 * 1024 * 1024;
inline constexpr int kMaxBodyDepth = 64;

struct Message {
  std::string type;
  std::string id;
  nlohmann::json body = nlohmann::json::object();
};

using Frames = std::vector<std::string>;

Frames EncodeMessage(const Message& message);
// Throws Error{kProtocolError} saying what is wrong: number of frames, version, type, id, size of
// the body, or the JSON in it (which must be an object and valid UTF-8, and not nested too deep).
Message DecodeMessage(const Frames& frames);

// The reply that refuses a message; `type` is "error" and the body is ToJson(error).
Message ErrorReply(const std::string& message_id, const Error& error);

// The types of messages. One word may be used in both directions and on both sockets: `cancel` is
// what a client asks of the broker, and what the broker then orders of a worker.
namespace message {
// client -> broker
inline constexpr std::string_view kSubmit = "submit";
inline constexpr std::string_view kGetJob = "get_job";
inline constexpr std::string_view kListJobs = "list_jobs";
inline constexpr std::string_view kAttempts = "attempts";
inline constexpr std::string_view kEvents = "events";
inline constexpr std::string_view kQueue = "queue";
inline constexpr std::string_view kWorkers = "workers";
inline constexpr std::string_view kPing = "ping";
inline constexpr std::string_view kDeadLetters = "dead_letters";
inline constexpr std::string_view kDeadLetterGroups = "dead_letter_groups";
inline constexpr std::string_view kGetDeadLetter = "get_dead_letter";
inline constexpr std::string_view kRedrive = "redrive";
inline constexpr std::string_view kRedriveMany = "redrive_many";
inline constexpr std::string_view kGetRedrive = "get_redrive";
inline constexpr std::string_view kPurge = "purge";
inline constexpr std::string_view kPurgeMany = "purge_many";
// client -> broker -> worker
inline constexpr std::string_view kCancel = "cancel";
inline constexpr std::string_view kProbe = "probe";
// broker -> client
inline constexpr std::string_view kOk = "ok";
// worker -> broker
inline constexpr std::string_view kRegister = "register";
inline constexpr std::string_view kBeat = "beat";
inline constexpr std::string_view kStarted = "started";
inline constexpr std::string_view kFinished = "finished";
inline constexpr std::string_view kFailed = "failed";
inline constexpr std::string_view kReleased = "released";
inline constexpr std::string_view kProbed = "probed";
inline constexpr std::string_view kGoodbye = "goodbye";
// broker -> worker
inline constexpr std::string_view kRegistered = "registered";
inline constexpr std::string_view kOrders = "orders";
inline constexpr std::string_view kAssign = "assign";
inline constexpr std::string_view kAck = "ack";
inline constexpr std::string_view kLeaseLost = "lease_lost";
inline constexpr std::string_view kUnknownWorker = "unknown_worker";
// broker -> client and worker
inline constexpr std::string_view kError = "error";
}  // namespace message

// The topics of the broker's PUB socket.
namespace topic {
inline constexpr std::string_view kJob = "job";            // each transition of a job
inline constexpr std::string_view kProgress = "progress";  // percent or phase of a job changed
inline constexpr std::string_view kWorker = "worker";      // a worker came or went
// A dead letter came into the queue or left it.
inline constexpr std::string_view kDeadLetter = "dead-letter";
}  // namespace topic

}  // namespace millrace
