#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/model/messages/body.h"

// What the broker publishes, each under its topic.
namespace millrace::message {

// A transition of a job; also an event of an `events` reply.
struct JobEvent {
  static constexpr std::string_view kType = topic::kJob;

  int64_t seq = 0;  // counts the events of all jobs
  std::string job;
  int generation = 1;
  std::string event;  // NameOf(millrace::JobEvent)
  std::string state;  // NameOf(JobState)
  std::string at;     // FormatTime()

  static void Describe(auto& fields, auto& body) {
    fields.Required("seq", Kind::kCount, body.seq);
    fields.Required("job", Kind::kString, body.job);
    fields.Required("generation", Kind::kSmall, body.generation);
    fields.Required("event", Kind::kString, body.event);
    fields.Required("state", Kind::kString, body.state);
    fields.Required("at", Kind::kString, body.at);
  }
};

// The percentage or the phase of a job has changed. It is not in the ledger.
struct ProgressEvent {
  static constexpr std::string_view kType = topic::kProgress;

  std::string job;
  int generation = 1;
  int percent = 0;
  std::string phase;

  static void Describe(auto& fields, auto& body) {
    fields.Required("job", Kind::kString, body.job);
    fields.Required("generation", Kind::kSmall, body.generation);
    fields.Required("percent", Kind::kSmall, body.percent);
    fields.Required("phase", Kind::kString, body.phase);
  }
};

// A dead letter came into the queue or left it.
struct DeadLetterEvent {
  static constexpr std::string_view kType = topic::kDeadLetter;

  int64_t seq = 0;  // of the job's event
  std::string job;
  int generation = 1;
  std::string event;  // "arrived", "redriven", "purged", "expired"
  std::string code;
  std::string signature;
  std::string at;

  static void Describe(auto& fields, auto& body) {
    fields.Required("seq", Kind::kCount, body.seq);
    fields.Required("job", Kind::kString, body.job);
    fields.Required("generation", Kind::kSmall, body.generation);
    fields.Required("event", Kind::kString, body.event);
    fields.Required("code", Kind::kString, body.code);
    fields.Required("signature", Kind::kString, body.signature);
    fields.Required("at", Kind::kString, body.at);
  }
};

// A worker came or went.
struct WorkerEvent {
  static constexpr std::string_view kType = topic::kWorker;

  std::string worker;
  std::string event;  // "registered", "lost", "draining", "left", "breaker_open", "breaker_closed"
  std::string at;

  static void Describe(auto& fields, auto& body) {
    fields.Required("worker", Kind::kString, body.worker);
    fields.Required("event", Kind::kString, body.event);
    fields.Required("at", Kind::kString, body.at);
  }
};

}  // namespace millrace::message
