#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/base/clock.h"

namespace millrace::cli {

// Which dead letters are meant, as the options of `millrace dead` say it; empty: any.
struct DeadFilter {
  std::string code;
  std::string blame;
  std::string signature;
  std::string stage;
  std::string worker;
  std::string since;  // as PointInTime takes it
  std::string until;
};

// The filter as the API takes it in a body, a member for each condition: spans are counted back
// from `now`. Throws Error{kInvalidRequest} for a time that is none.
nlohmann::json FilterJson(const DeadFilter& filter, WallTime now);
// The same as a query, percent-encoded, "&code=…&blame=…"; "" for {}.
std::string FilterQuery(const nlohmann::json& filter_json);
// The same for people: "code corrupt_media, worker host-a/1"; "all" for {}.
std::string DescribeFilter(const nlohmann::json& filter_json);

}  // namespace millrace::cli
