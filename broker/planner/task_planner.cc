#include "broker/planner/task_planner.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "broker/planner/cost_model.h"

namespace millrace::broker {
namespace {

using Outputs = std::vector<OutputSpec>;

// The seconds by which a job must end earlier for each second of work that its plan adds.
constexpr double kWorth = 4;

bool OnlyCopies(const OutputSpec& output) {
  return !DecodesPicture(output) && !DecodesSound(output);
}

bool DecodesSoundAlone(const OutputSpec& output) {
  return DecodesSound(output) && !DecodesPicture(output);
}

bool IsWorthATask(const Outputs& part, const Outputs& rest, const InputSize& input,
                  const PlannerOptions& options) {
  Outputs whole = rest;
  std::ranges::copy(part, std::back_inserter(whole));
  const double together = PredictSeconds(whole, input);
  const double alone = PredictSeconds(part, input);
  const double others = PredictSeconds(rest, input);
  const double overhead = std::chrono::duration<double>(options.task_overhead).count();
  const double saved = together - std::max(alone, others);
  const double repeated = alone + others - together;
  return saved >= kWorth * (overhead + repeated);
}

}  // namespace

std::vector<PlannedTask> PlanTasks(const Job& job, const Fleet& fleet,
                                   const PlannerOptions& options) {
  const std::vector<PlannedTask> one_task(1);
  if (job.request.spec.outputs.size() < 2 || fleet.slots < 2) return one_task;
  const std::optional<InputSize> input = InputSizeOf(job);
  if (!input) return one_task;
  std::vector<Outputs> parts = {job.request.spec.outputs};
  for (const auto& belongs : {DecodesSoundAlone, OnlyCopies}) {
    if (parts.size() >= static_cast<size_t>(fleet.slots)) break;
    Outputs part;
    Outputs rest;
    std::ranges::partition_copy(parts[0], std::back_inserter(part), std::back_inserter(rest),
                                belongs);
    if (part.empty() || rest.empty() || !IsWorthATask(part, rest, *input, options)) continue;
    parts[0] = std::move(rest);
    parts.push_back(std::move(part));
  }
  if (parts.size() == 1) return one_task;
  std::ranges::stable_sort(parts, std::greater(),
                           [&](const Outputs& outputs) { return PredictSeconds(outputs, *input); });
  std::vector<PlannedTask> plan;
  plan.reserve(parts.size());
  for (Outputs& outputs : parts) {
    plan.push_back(
        {.kind = TaskKind::kTranscode,
         .spec = EncodeSpec{.outputs = std::move(outputs), .clip = job.request.spec.clip},
         .dependencies = {}});
  }
  return plan;
}

}  // namespace millrace::broker
