#pragma once

#include <compare>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/messages/body.h"

// What workers tell the broker. worker_orders.h has what the broker tells them.
namespace millrace::message {

struct LeaseName {
  std::string task;
  Fence fence = 0;

  auto operator<=>(const LeaseName&) const = default;

  static void Describe(auto& fields, auto& body) {
    fields.Required("task", Kind::kName, body.task);
    fields.Required("fence", Kind::kFence, body.fence);
  }
};

// A lease that a worker which registers says it holds.
struct HeldLease {
  LeaseName lease;
  std::optional<Progress> progress;

  static void Describe(auto& fields, auto& body) {
    LeaseName::Describe(fields, body.lease);
    fields.Optional("progress", Kind::kObject, body.progress);
  }
};

struct Register {
  static constexpr std::string_view kType = kRegister;

  std::string instance;  // a fresh id of each start
  std::string name;      // the same after each start
  int slots = 1;
  int probe_slots = 0;
  std::vector<std::string> encoders;
  int cores = 1;
  int64_t memory_bytes = 0;
  nlohmann::json labels = nlohmann::json::object();
  nlohmann::json versions = nlohmann::json::object();
  std::vector<HeldLease> running;

  static void Describe(auto& fields, auto& body) {
    fields.Required("instance", Kind::kName, body.instance);
    fields.Required("name", Kind::kName, body.name);
    fields.Required("slots", Kind::kSmall, body.slots);
    fields.Required("probe_slots", Kind::kSmall, body.probe_slots);
    fields.Required("encoders", Kind::kTexts, body.encoders);
    fields.Required("cores", Kind::kSmall, body.cores);
    fields.Required("memory_bytes", Kind::kCount, body.memory_bytes);
    fields.Required("labels", Kind::kObject, body.labels);
    fields.Required("versions", Kind::kObject, body.versions);
    fields.List("running", "must be a list of objects with task and fence, and progress or not",
                body.running);
  }
};

// How far a lease is.
struct LeaseProgress {
  LeaseName lease;
  Progress progress;
  nlohmann::json media;  // of the input; null once the broker knows it, or while nobody does

  static void Describe(auto& fields, auto& body) {
    LeaseName::Describe(fields, body.lease);
    fields.Required("progress", Kind::kObject, body.progress);
    fields.Optional("media", Kind::kObject, body.media);
  }
};

struct Beat {
  static constexpr std::string_view kType = kBeat;

  std::string instance;
  bool draining = false;
  std::vector<LeaseProgress> tasks;

  static void Describe(auto& fields, auto& body) {
    fields.Required("instance", Kind::kName, body.instance);
    fields.Required("draining", Kind::kFlag, body.draining);
    fields.List("tasks", "must be a list of objects with task, fence and progress", body.tasks);
  }
};

struct Started {
  static constexpr std::string_view kType = kStarted;

  std::string instance;
  LeaseName lease;

  static void Describe(auto& fields, auto& body) {
    fields.Required("instance", Kind::kName, body.instance);
    LeaseName::Describe(fields, body.lease);
  }
};

struct Finished {
  static constexpr std::string_view kType = kFinished;

  std::string instance;
  LeaseName lease;
  nlohmann::json manifest;  // Manifest
  nlohmann::json usage;     // ResourceUsage

  static void Describe(auto& fields, auto& body) {
    fields.Required("instance", Kind::kName, body.instance);
    LeaseName::Describe(fields, body.lease);
    fields.Required("manifest", Kind::kObject, body.manifest);
    fields.Required("usage", Kind::kObject, body.usage);
  }
};

struct Failed {
  static constexpr std::string_view kType = kFailed;

  std::string instance;
  LeaseName lease;
  nlohmann::json failure;  // AttemptFailure
  nlohmann::json media;    // null: not known

  static void Describe(auto& fields, auto& body) {
    fields.Required("instance", Kind::kName, body.instance);
    LeaseName::Describe(fields, body.lease);
    fields.Required("failure", Kind::kObject, body.failure);
    fields.Optional("media", Kind::kObject, body.media);
  }
};

struct Released {
  static constexpr std::string_view kType = kReleased;
  static constexpr std::string_view kCancelled = "cancelled";
  static constexpr std::string_view kDraining = "draining";

  std::string instance;
  LeaseName lease;
  std::string reason;

  static void Describe(auto& fields, auto& body) {
    fields.Required("instance", Kind::kName, body.instance);
    LeaseName::Describe(fields, body.lease);
    fields.Required("reason", Kind::kName, body.reason);
  }
};

struct Probed {
  static constexpr std::string_view kType = kProbed;

  std::string instance;
  std::string probe;
  // One of the two is set.
  nlohmann::json media;
  nlohmann::json error;  // Error

  static void Describe(auto& fields, auto& body) {
    fields.Required("instance", Kind::kName, body.instance);
    fields.Required("probe", Kind::kName, body.probe);
    fields.Optional("media", Kind::kObject, body.media);
    fields.Optional("error", Kind::kObject, body.error);
  }
};

struct Goodbye {
  static constexpr std::string_view kType = kGoodbye;

  std::string instance;

  static void Describe(auto& fields, auto& body) {
    fields.Required("instance", Kind::kName, body.instance);
  }
};

}  // namespace millrace::message
