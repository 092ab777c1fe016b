#include <cstdlib>
#include <optional>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/scheduling.h"
#include "transcoder/worker/capabilities.h"
#include "transcoder/worker/settings.h"
#include "transcoder/worker/worker.h"

namespace millrace::worker {
namespace {

// Linking FFmpeg and opening its encoders takes a fraction of a second on an idle machine.
constexpr std::chrono::seconds kCapabilitiesTimeout{60};

int Main(int argc, char** argv) {
  WorkerSettings settings;
  SettingsParser parser("millrace-worker", "Runs the tasks that a Millrace broker hands out.");
  AddWorkerSettings(parser, settings);
  if (const std::optional<int> status = parser.Parse(argc, argv)) return *status;
  try {
    FinishWorkerSettings(settings);
    const Capabilities capabilities = AskCapabilities(settings.encoder, kCapabilitiesTimeout);
    AskForShortTurns();  // before threads and the zygote start
    const SystemClock clock;
    Worker worker(settings, capabilities, clock);
    LogInfo("started", {{"worker", settings.name},
                        {"slots", settings.slots},
                        {"endpoint", settings.common.worker_endpoint}});
    worker.Run();
    LogInfo("stopped", {{"worker", settings.name}});
    return EXIT_SUCCESS;
  } catch (const Error& error) {
    LogError(error.what(), {{"code", error.traits().name}});
  } catch (const std::exception& error) {
    LogError(error.what());
  }
  return EXIT_FAILURE;
}

}  // namespace
}  // namespace millrace::worker

int main(int argc, char** argv) { return millrace::worker::Main(argc, argv); }
