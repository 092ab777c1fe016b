#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "core/model/messages/body.h"

// Requests of clients to the broker. client_replies.h has the answers; docs/protocol.md says what
// each request does.
namespace millrace::message {

struct Submit {
  static constexpr std::string_view kType = kSubmit;

  std::string job_id;          // chosen by the client: a repetition makes no second job
  nlohmann::json request;      // JobRequest
  nlohmann::json input_facts;  // {"name", "bytes", "sha256"}
  int64_t deadline_unix_ms = 0;
  std::string idempotency_key;  // empty: none
  std::string fingerprint;      // of the request under that key

  static void Describe(auto& fields, auto& body) {
    fields.Required("job_id", Kind::kJobId, body.job_id);
    fields.Required("request", Kind::kObject, body.request);
    fields.Required("input_facts", Kind::kFacts, body.input_facts);
    fields.Required("deadline_unix_ms", Kind::kTime, body.deadline_unix_ms);
    fields.Optional("idempotency_key", Kind::kName, body.idempotency_key);
    fields.Optional("fingerprint", Kind::kName, body.fingerprint);
  }
};

// The requests that name a job, and say no more.
struct JobName {
  std::string job_id;

  static void Describe(auto& fields, auto& body) {
    fields.Required("job_id", Kind::kJobId, body.job_id);
  }
};

struct GetJob : JobName {
  static constexpr std::string_view kType = kGetJob;
};

struct Cancel : JobName {
  static constexpr std::string_view kType = kCancel;
};

struct Attempts : JobName {
  static constexpr std::string_view kType = kAttempts;
};

struct GetDeadLetter : JobName {
  static constexpr std::string_view kType = kGetDeadLetter;
};

struct Purge : JobName {
  static constexpr std::string_view kType = kPurge;
};

// The requests that are filters. Their readers in the broker name every wrong field at once.
struct Filter {
  nlohmann::json filter = nlohmann::json::object();

  static void Describe(auto& fields, auto& body) { fields.Whole(body.filter); }
};

struct ListJobs : Filter {
  static constexpr std::string_view kType = kListJobs;
};

struct DeadLetters : Filter {
  static constexpr std::string_view kType = kDeadLetters;
};

struct DeadLetterGroups : Filter {
  static constexpr std::string_view kType = kDeadLetterGroups;
};

struct Events {
  static constexpr std::string_view kType = kEvents;

  std::string job_id;
  int64_t after = 0;  // the sequence number of the last event that is known; 0: none
  int limit = 0;

  static void Describe(auto& fields, auto& body) {
    fields.Required("job_id", Kind::kJobId, body.job_id);
    fields.Required("after", Kind::kCount, body.after);
    fields.Required("limit", Kind::kSmall, body.limit);
  }
};

struct Probe {
  static constexpr std::string_view kType = kProbe;

  nlohmann::json input;    // Input
  std::string input_name;  // may be empty
  int64_t deadline_unix_ms = 0;

  static void Describe(auto& fields, auto& body) {
    fields.Required("input", Kind::kObject, body.input);
    fields.Required("input_name", Kind::kText, body.input_name);
    fields.Required("deadline_unix_ms", Kind::kTime, body.deadline_unix_ms);
  }
};

// The requests that say nothing.
struct Nothing {
  static void Describe(auto& /*fields*/, auto& /*body*/) {}
};

struct Queue : Nothing {
  static constexpr std::string_view kType = kQueue;
};

struct Workers : Nothing {
  static constexpr std::string_view kType = kWorkers;
};

struct Ping : Nothing {
  static constexpr std::string_view kType = kPing;
};

struct Redrive {
  static constexpr std::string_view kType = kRedrive;

  std::string job_id;
  int generation = 0;    // the one that is dead
  nlohmann::json patch;  // of the frozen spec (RFC 7396); null: none

  static void Describe(auto& fields, auto& body) {
    fields.Required("job_id", Kind::kJobId, body.job_id);
    fields.Required("generation", Kind::kSmall, body.generation);
    fields.Optional("patch", Kind::kObject, body.patch);
  }
};

struct RedriveMany {
  static constexpr std::string_view kType = kRedriveMany;

  std::string redrive_id;  // chosen by the client: a repetition redrives nothing
  nlohmann::json filter;
  bool canary = false;
  bool dry_run = false;
  nlohmann::json patch;  // null: none

  static void Describe(auto& fields, auto& body) {
    fields.Required("redrive_id", Kind::kName, body.redrive_id);
    fields.Required("filter", Kind::kObject, body.filter);
    fields.Required("canary", Kind::kFlag, body.canary);
    fields.Required("dry_run", Kind::kFlag, body.dry_run);
    fields.Optional("patch", Kind::kObject, body.patch);
  }
};

struct GetRedrive {
  static constexpr std::string_view kType = kGetRedrive;

  std::string redrive_id;

  static void Describe(auto& fields, auto& body) {
    fields.Required("redrive_id", Kind::kName, body.redrive_id);
  }
};

struct PurgeMany {
  static constexpr std::string_view kType = kPurgeMany;

  std::string purge_id;  // chosen by the client: a repetition purges nothing
  nlohmann::json filter;
  bool dry_run = false;
  std::optional<int64_t> expected;  // the count of a dry run; without `dry_run` it is needed

  static void Describe(auto& fields, auto& body) {
    fields.Required("purge_id", Kind::kName, body.purge_id);
    fields.Required("filter", Kind::kObject, body.filter);
    fields.Required("dry_run", Kind::kFlag, body.dry_run);
    fields.Optional("expected", Kind::kCount, body.expected);
  }
};

}  // namespace millrace::message
