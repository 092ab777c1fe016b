#include "broker/ledger/records.h"

#include <algorithm>
#include <array>

namespace millrace::broker {
namespace {

constexpr auto kDeadLetterStates =
    std::to_array<std::pair<DeadLetterRecord::State, std::string_view>>({
        {DeadLetterRecord::State::kOpen, "open"},
        {DeadLetterRecord::State::kRedriven, "redriven"},
        {DeadLetterRecord::State::kPurged, "purged"},
        {DeadLetterRecord::State::kExpired, "expired"},
    });

constexpr auto kRedriveStates = std::to_array<std::pair<RedriveRecord::State, std::string_view>>({
    {RedriveRecord::State::kWaiting, "waiting"},
    {RedriveRecord::State::kReleased, "released"},
    {RedriveRecord::State::kStopped, "stopped"},
});

template <typename Table, typename State>
std::string_view NameIn(const Table& table, State state) {
  return std::ranges::find(table, state, [](const auto& row) { return row.first; })->second;
}

template <typename Table>
auto StateIn(const Table& table, std::string_view name)
    -> std::optional<decltype(table.front().first)> {
  const auto* found = std::ranges::find(table, name, [](const auto& row) { return row.second; });
  if (found == table.end()) return std::nullopt;
  return found->first;
}

nlohmann::json OrNull(const std::string& text) {
  return text.empty() ? nlohmann::json() : nlohmann::json(text);
}

}  // namespace

std::string_view NameOf(DeadLetterRecord::State state) { return NameIn(kDeadLetterStates, state); }

std::optional<DeadLetterRecord::State> DeadLetterStateFromName(std::string_view name) {
  return StateIn(kDeadLetterStates, name);
}

std::string_view NameOf(RedriveRecord::State state) { return NameIn(kRedriveStates, state); }

std::optional<RedriveRecord::State> RedriveStateFromName(std::string_view name) {
  return StateIn(kRedriveStates, name);
}

message::JobEvent MessageOf(const EventRecord& event) {
  return {.seq = event.sequence,
          .job = event.job_id,
          .generation = event.generation,
          .event = std::string(NameOf(event.event)),
          .state = std::string(NameOf(event.state)),
          .at = FormatTime(event.at)};
}

nlohmann::json ToJson(const DeadLetterRecord& letter) {
  return {{"job", letter.job_id},
          {"generation", letter.generation},
          {"state", NameOf(letter.state)},
          {"died_at", FormatTime(letter.died_at)},
          {"closed_at",
           letter.closed_at ? nlohmann::json(FormatTime(*letter.closed_at)) : nlohmann::json()},
          {"code", OrNull(letter.code)},
          {"blame", OrNull(letter.blame)},
          {"detail", OrNull(letter.detail)},
          {"stage", OrNull(letter.stage)},
          {"codec", OrNull(letter.codec)},
          {"signature", OrNull(letter.signature)},
          {"signature_text", OrNull(letter.signature_text)},
          {"input_name", OrNull(letter.input_name)},
          {"input_sha256", OrNull(letter.input_sha256)},
          {"worker", OrNull(letter.worker)}};
}

nlohmann::json ToJson(const RedriveRecord& redrive) {
  return {{"id", redrive.id},
          {"state", NameOf(redrive.state)},
          {"created_at", FormatTime(redrive.created_at)},
          {"count", redrive.count},
          {"canary", OrNull(redrive.canary)},
          {"waiting", redrive.waiting.size()}};
}

nlohmann::json ToJson(const DeadLetterGroup& group) {
  return {{"signature", OrNull(group.signature)},
          {"signature_text", OrNull(group.signature_text)},
          {"code", OrNull(group.code)},
          {"blame", OrNull(group.blame)},
          {"count", group.count},
          {"inputs", group.inputs},
          {"first_at", FormatTime(group.first_at)},
          {"last_at", FormatTime(group.last_at)},
          {"example_job", OrNull(group.example_job)}};
}

}  // namespace millrace::broker
