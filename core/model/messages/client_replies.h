#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/messages/body.h"
#include "core/model/messages/events.h"

// Replies of the broker to clients: `ok` with one of these bodies, or `error` with ToJson(Error).
// The views that `queue` and `workers` are answered with are passed on as they are.
namespace millrace::message {

// Of submit, cancel and redrive.
struct JobReply {
  static constexpr std::string_view kType = kOk;

  nlohmann::json job;  // JobView

  static void Describe(auto& fields, auto& body) {
    fields.Required("job", Kind::kObject, body.job);
  }
};

// Of get_job.
struct GetJobReply {
  static constexpr std::string_view kType = kOk;

  nlohmann::json job;  // JobView
  Fence published_fence = 0;

  static void Describe(auto& fields, auto& body) {
    fields.Required("job", Kind::kObject, body.job);
    fields.Required("published_fence", Kind::kFence, body.published_fence);
  }
};

struct ListJobsReply {
  static constexpr std::string_view kType = kOk;

  nlohmann::json jobs = nlohmann::json::array();  // [JobView]
  std::string next_page_token;                    // empty: there are no more

  static void Describe(auto& fields, auto& body) {
    fields.Required("jobs", Kind::kArray, body.jobs);
    fields.Required("next_page_token", Kind::kString, body.next_page_token);
  }
};

struct AttemptsReply {
  static constexpr std::string_view kType = kOk;

  nlohmann::json attempts = nlohmann::json::array();  // [Attempt]

  static void Describe(auto& fields, auto& body) {
    fields.Required("attempts", Kind::kArray, body.attempts);
  }
};

struct EventsReply {
  static constexpr std::string_view kType = kOk;

  std::vector<JobEvent> events;
  bool ended = false;  // the job has ended and has no events behind these

  static void Describe(auto& fields, auto& body) {
    fields.List("events", "must be a list of events", body.events);
    fields.Required("ended", Kind::kFlag, body.ended);
  }
};

struct ProbeReply {
  static constexpr std::string_view kType = kOk;

  nlohmann::json media;

  static void Describe(auto& fields, auto& body) {
    fields.Required("media", Kind::kObject, body.media);
  }
};

struct DeadLettersReply {
  static constexpr std::string_view kType = kOk;

  nlohmann::json dead_letters = nlohmann::json::array();
  std::string next_page_token;  // empty: there are no more

  static void Describe(auto& fields, auto& body) {
    fields.Required("dead_letters", Kind::kArray, body.dead_letters);
    fields.Required("next_page_token", Kind::kString, body.next_page_token);
  }
};

struct DeadLetterGroupsReply {
  static constexpr std::string_view kType = kOk;

  nlohmann::json groups = nlohmann::json::array();

  static void Describe(auto& fields, auto& body) {
    fields.Required("groups", Kind::kArray, body.groups);
  }
};

// Of get_dead_letter and purge.
struct DeadLetterReply {
  static constexpr std::string_view kType = kOk;

  nlohmann::json dead_letter;

  static void Describe(auto& fields, auto& body) {
    fields.Required("dead_letter", Kind::kObject, body.dead_letter);
  }
};

struct RedriveManyReply {
  static constexpr std::string_view kType = kOk;

  int64_t count = 0;
  nlohmann::json redrive;  // null of a dry run, and where nothing was found

  static void Describe(auto& fields, auto& body) {
    fields.Required("count", Kind::kCount, body.count);
    fields.Nullable("redrive", Kind::kObject, body.redrive);
  }
};

struct GetRedriveReply {
  static constexpr std::string_view kType = kOk;

  nlohmann::json redrive;

  static void Describe(auto& fields, auto& body) {
    fields.Required("redrive", Kind::kObject, body.redrive);
  }
};

struct PurgeManyReply {
  static constexpr std::string_view kType = kOk;

  int64_t count = 0;

  static void Describe(auto& fields, auto& body) {
    fields.Required("count", Kind::kCount, body.count);
  }
};

struct Pong {
  static constexpr std::string_view kType = kOk;

  std::string version;
  bool accepting = false;
  std::string reason;  // why it accepts nothing

  static void Describe(auto& fields, auto& body) {
    fields.Required("version", Kind::kString, body.version);
    fields.Required("accepting", Kind::kFlag, body.accepting);
    fields.Required("reason", Kind::kString, body.reason);
  }
};

}  // namespace millrace::message
