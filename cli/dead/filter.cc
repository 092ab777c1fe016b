#include "cli/dead/filter.h"

#include <algorithm>
#include <vector>

#include "cli/base/json_text.h"
#include "cli/base/time_span.h"
#include "cli/client/http_client.h"

namespace millrace::cli {

using nlohmann::json;

json FilterJson(const DeadFilter& filter, WallTime now) {
  json result = json::object();
  const auto add = [&result](const char* name, const std::string& value) {
    if (!value.empty()) result[name] = value;
  };
  const auto add_time = [&](const char* name, const std::string& text, const char* option) {
    if (!text.empty()) result[name] = FormatTime(PointInTime(text, now, option));
  };
  add("code", filter.code);
  add("blame", filter.blame);
  add("signature", filter.signature);
  add("stage", filter.stage);
  add("worker", filter.worker);
  add_time("died_after", filter.since, "--since");
  add_time("died_before", filter.until, "--until");
  return result;
}

std::string FilterQuery(const json& filter_json) {
  std::string query;
  for (const auto& [name, value] : filter_json.items()) {
    query += "&" + name + "=" + PercentEncode(value.get_ref<const std::string&>());
  }
  return query;
}

std::string DescribeFilter(const json& filter_json) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : filter_json.items()) {
    std::string words = name;
    std::ranges::replace(words, '_', ' ');
    parts.push_back(words + " " + Text(filter_json, name.c_str()));
  }
  return parts.empty() ? "all" : Joined(parts, ", ");
}

}  // namespace millrace::cli
