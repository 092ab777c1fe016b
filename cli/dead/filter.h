#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/base/clock.h"

namespace millrace::cli {

// Selects dead letters, as the options of `millrace dead` do. An empty member selects all.
struct DeadFilter {
  std::string code;
  std::string blame;
  std::string signature;
  std::string stage;
  std::string worker;
  std::string since;  // as PointInTime takes it
  std::string until;
};

// Returns the filter as the API takes it in a body, a member for each condition. Counts spans back
// from `now`. Throws Error{kInvalidRequest} for a malformed time.
nlohmann::json FilterJson(const DeadFilter& filter, WallTime now);
// Returns the filter as a percent-encoded query, "&code=…&blame=…"; "" for {}.
std::string FilterQuery(const nlohmann::json& filter_json);
// Describes the filter: "code corrupt_media, worker host-a/1"; "all" for {}.
std::string DescribeFilter(const nlohmann::json& filter_json);

}  // namespace millrace::cli
