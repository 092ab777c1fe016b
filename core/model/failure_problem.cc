#include "core/model/failure_problem.h"

#include <array>
#include <string>
#include <string_view>

#include "core/base/id.h"

namespace millrace {
namespace {

enum class Kind { kText, kNumber };

struct Fact {
  std::string_view name;
  Kind kind;
};

constexpr auto kFacts = std::to_array<Fact>({{"stage", Kind::kText},
                                             {"stream", Kind::kNumber},
                                             {"codec", Kind::kText},
                                             {"pts_seconds", Kind::kNumber},
                                             {"byte_offset", Kind::kNumber},
                                             {"ffmpeg", Kind::kText},
                                             {"phase", Kind::kText},
                                             {"media_seconds", Kind::kNumber},
                                             {"signal", Kind::kText},
                                             {"exit_status", Kind::kNumber}});
constexpr size_t kMaxTextBytes = 512;

std::string Shortened(std::string text) {
  if (text.size() <= kMaxTextBytes) return text;
  size_t end = kMaxTextBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

// Adds the known facts of `context` that `facts` lacks. Expects any shape: hostile media may have
// taken over the encoder that wrote the context.
void AddFacts(const nlohmann::json& context, nlohmann::json& facts) {
  if (!context.is_object()) return;
  for (const Fact& fact : kFacts) {
    const auto value = context.find(fact.name);
    if (value == context.end() || facts.contains(fact.name)) continue;
    if (fact.kind == Kind::kText && value->is_string()) {
      facts[std::string(fact.name)] = Shortened(value->get<std::string>());
    } else if (fact.kind == Kind::kNumber && value->is_number()) {
      facts[std::string(fact.name)] = *value;
    }
  }
}

}  // namespace

nlohmann::json FailureProblemJson(const Error& error) {
  nlohmann::json problem = ProblemJson(error);
  const nlohmann::json& context = error.context();
  nlohmann::json facts = nlohmann::json::object();
  AddFacts(context, facts);
  if (const auto crash = context.find("last_error"); crash != context.end() && crash->is_object()) {
    AddFacts(crash->value("context", nlohmann::json()), facts);
  }
  if (!facts.empty()) problem["context"] = std::move(facts);
  if (const auto earlier = context.find("earlier_job");
      earlier != context.end() && earlier->is_string() &&
      IsId(earlier->get_ref<const std::string&>(), "job_")) {
    problem["earlier_job"] = *earlier;
  }
  return problem;
}

}  // namespace millrace
