#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/messages/body.h"
#include "core/model/messages/worker.h"

// What the broker tells workers: answers and orders.
namespace millrace::message {

struct Registered {
  static constexpr std::string_view kType = kRegistered;

  double lease_seconds = 0;
  double beat_seconds = 0;
  std::vector<LeaseName> lost;

  static void Describe(auto& fields, auto& body) {
    fields.Required("lease_seconds", Kind::kNumber, body.lease_seconds);
    fields.Required("beat_seconds", Kind::kNumber, body.beat_seconds);
    fields.List("lost", "must be a list of objects with task and fence", body.lost);
  }
};

// The answer to a beat.
struct Orders {
  static constexpr std::string_view kType = kOrders;

  std::vector<LeaseName> cancel;
  std::vector<LeaseName> lost;

  static void Describe(auto& fields, auto& body) {
    fields.List("cancel", "must be a list of objects with task and fence", body.cancel);
    fields.List("lost", "must be a list of objects with task and fence", body.lost);
  }
};

struct Assign {
  static constexpr std::string_view kType = kAssign;

  LeaseName lease;
  std::string job;
  int attempt = 1;
  nlohmann::json input;  // Input
  std::string input_name;
  nlohmann::json spec;  // EncodeSpec

  static void Describe(auto& fields, auto& body) {
    LeaseName::Describe(fields, body.lease);
    fields.Required("job", Kind::kString, body.job);
    fields.Required("attempt", Kind::kSmall, body.attempt);
    fields.Required("input", Kind::kObject, body.input);
    fields.Optional("input_name", Kind::kString, body.input_name);
    fields.Required("spec", Kind::kObject, body.spec);
  }
};

struct CancelOrder : LeaseName {
  static constexpr std::string_view kType = kCancel;
};

struct ProbeOrder {
  static constexpr std::string_view kType = kProbe;

  std::string probe;
  nlohmann::json input;  // Input
  std::string input_name;
  int64_t deadline_ms = 0;  // from now

  static void Describe(auto& fields, auto& body) {
    fields.Required("probe", Kind::kName, body.probe);
    fields.Required("input", Kind::kObject, body.input);
    fields.Optional("input_name", Kind::kString, body.input_name);
    fields.Required("deadline_ms", Kind::kCount, body.deadline_ms);
  }
};

// A report was made durable, or the goodbye was heard; a goodbye names no lease.
struct Ack {
  static constexpr std::string_view kType = kAck;

  std::string task;
  std::optional<Fence> fence;

  static void Describe(auto& fields, auto& body) {
    fields.Optional("task", Kind::kName, body.task);
    fields.Optional("fence", Kind::kFence, body.fence);
  }
};

struct LeaseLost : LeaseName {
  static constexpr std::string_view kType = kLeaseLost;
};

struct UnknownWorker {
  static constexpr std::string_view kType = kUnknownWorker;

  static void Describe(auto& /*fields*/, auto& /*body*/) {}
};

}  // namespace millrace::message
