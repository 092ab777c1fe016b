#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "broker/dispatcher/dispatcher.h"
#include "broker/effect_runner.h"
#include "broker/io/file_thread.h"
#include "broker/io/peer_book.h"
#include "broker/io/progress_log.h"
#include "broker/io/sockets.h"
#include "broker/ledger/ledger.h"
#include "broker/upkeep/janitor.h"
#include "broker/upkeep/media_inventory.h"
#include "core/base/clock.h"
#include "core/media/media_store.h"

namespace millrace::broker {

struct BrokerOptions {
  std::filesystem::path data_dir;  // the media store's; `run` in it is the broker's own
  Endpoints endpoints;
  DispatcherOptions dispatcher;
  JanitorOptions janitor;
  // Messages taken from each socket before what was decided is committed.
  size_t batch_limit = 512;
  // How often a ledger that could not be written is tried again.
  std::chrono::milliseconds ledger_retry{1'000};
};

// The broker: receives what has arrived, has the dispatcher decide, commits everything decided in
// one transaction, and only then replies, sends, moves files and answers reads. All of it on the
// thread that calls Run(), but for what may take long: a thread of its own copies, lists and
// removes files. loop_clients.cc has what concerns clients.
//
// A failed commit suspends the broker. The dispatcher's memory is ahead of the ledger then, so it
// is thrown away and made anew from the ledger, like after a restart. Until the ledger can be
// written again, requests that would change something are refused with the reason, reads are
// answered from the ledger, beats are answered with "go on" (no lease ends while nobody could take
// it over), and what else workers report is left for them to repeat. Then the dispatcher is made
// once more, workers register again, and every lease has a grace period.
class Broker {
 public:
  // Binds the sockets and takes over what the ledger holds. Throws Error. `clock` outlives it.
  Broker(BrokerOptions options, std::unique_ptr<Ledger> ledger, std::unique_ptr<MediaStore> media,
         const Clock& clock);
  ~Broker();

  // Serves until `stop_fd` is readable, then takes what has arrived once more, refusing new jobs,
  // and returns. Leases stay as they are: workers go on and come back to the next broker. Throws
  // Error if the ledger cannot even be read.
  void Run(int stop_fd);

 private:
  struct Read {
    std::string peer;
    Message request;
  };

  // What one round has collected.
  struct Batch {
    std::vector<LedgerChange> changes;
    std::vector<Effect> effects;
    std::vector<Read> reads;
    std::set<std::string> inserted;       // ids of jobs that `changes` creates
    std::set<std::string> inserted_keys;  // and their idempotency keys

    void Add(Outcome outcome);
    bool empty() const { return changes.empty() && effects.empty() && reads.empty(); }
  };

  struct Suspension {
    Error cause;
    MonotonicTime next_try;
  };

  Now ReadClock() const;
  std::optional<std::chrono::milliseconds> TimeUntilDue() const;
  void Step(const Arrivals& arrivals);
  // Handles one message; its errors are answered. Returns false if the dispatcher's state is in
  // doubt.
  bool Take(const Received& received, Batch& batch);
  void TakeClient(const Received& received, Batch& batch);
  // A redrive or a purge: of jobs that are not in memory.
  void TakeAboutDead(const Received& received, const Message& message, Batch& batch);
  void TakeWorker(const Received& received, Batch& batch);
  // Connections of workers that have closed.
  void TakeClosed(const std::vector<std::string>& peers, Batch& batch);
  // Whether the request is answered from the ledger although its type changes things: its job is
  // not in memory (any more), or it asks only what would be done.
  bool IsRead(const Message& message, const Batch& batch) const;
  // A redrive_many or purge_many that the ledger knows.
  bool IsRepeatedMany(const Message& message) const;
  bool IsRepeatedSubmit(const Message& message, const Batch& batch) const;
  // The janitor may have removed an upload after its submission was checked.
  void RefuseRemovedUpload(const Message& submit) const;
  void Refuse(const Received& received, const Error& error);

  // Commits a batch, carries out its effects, and then the same for what follows from these.
  void Settle(Batch batch);
  // Makes a batch durable and sends what it has to say. Returns false if the broker is suspended
  // instead; the instances of workers that could not be reached are in `broken` otherwise.
  bool CommitAndSend(const Batch& batch, std::vector<std::string>& broken);
  void AnswerReads(const std::vector<Read>& reads);
  // Remembers what is about to be shown of the progress of jobs.
  void NoteProgress(const std::vector<Effect>& effects);
  // Hands the dispatcher the jobs that it asked for.
  Outcome Load(const LoadDead& load);
  void Tidy();
  // Tells the dispatcher how much room there is, once a second at most.
  void LookAtDisk();
  void ForgetAnswered(const std::vector<Effect>& effects);
  void Suspend(const Error& cause);
  void TryToResume();
  void MakeDispatcher();
  std::optional<std::string> RefusalOfSubmissions() const;

  const BrokerOptions options_;
  const Clock& clock_;
  const std::unique_ptr<Ledger> ledger_;
  const std::unique_ptr<MediaStore> media_;
  const MediaInventory inventory_;
  Sockets sockets_;
  PeerBook peers_;
  ProgressLog progress_;
  std::unique_ptr<FileThread> files_;
  EffectRunner effects_;
  Janitor janitor_;
  std::unique_ptr<Dispatcher> dispatcher_;
  std::optional<MonotonicTime> disk_looked_at_;
  // Client requests that the dispatcher has taken and not answered yet: connection, message id.
  std::set<std::pair<std::string, std::string>> owed_;
  std::optional<Suspension> suspension_;
  bool draining_ = false;
};

}  // namespace millrace::broker
