#pragma once

#include <functional>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "broker/dispatcher/dispatcher.h"
#include "broker/io/file_thread.h"
#include "broker/io/peer_book.h"
#include "broker/io/sockets.h"
#include "broker/upkeep/media_inventory.h"
#include "core/media/media_store.h"

namespace millrace::broker {

// Does what committed outcomes ask for. Owned by the broker's loop, which calls Send() first, so
// that no reply waits for files to be moved, and Store() afterwards. What
// may take long is done by the file thread: dead letters are written there, as an input may have to
// be copied for them (TakeBuried() tells how that went), and they and work folders are removed.
class EffectRunner {
 public:
  using Report = std::function<void(Outcome)>;

  // All must outlive it. Nothing may be left on `files` that it has posted when it is destroyed.
  EffectRunner(Sockets& sockets, PeerBook& peers, MediaStore& media,
               const MediaInventory& inventory, FileThread& files)
      : sockets_(sockets), peers_(peers), media_(media), inventory_(inventory), files_(files) {}

  // Replies, orders, events and warnings, in order. Returns the instances of workers whose
  // connection turned out to be broken.
  std::vector<std::string> Send(const std::vector<Effect>& effects);

  // Publishes, in order, and hands what the dispatcher makes of each result to `report`; begins to
  // bury, to discard and to remove dead letters. What asks for neither is left out.
  void Store(const std::vector<Effect>& effects, Dispatcher& dispatcher,
             const std::function<Now()>& now, const Report& report);

  // Hands what the dispatcher makes of each burial that has ended since the last call to `report`.
  void TakeBuried(Dispatcher& dispatcher, const std::function<Now()>& now, const Report& report);
  bool HasBuried() const { return !buried_.empty(); }

 private:
  struct Burial {
    std::string job_id;
    std::optional<Error> error;
  };

  bool SendToInstance(const SendToWorker& send);
  Outcome Publish(const PublishOutputs& publish, Dispatcher& dispatcher,
                  const std::function<Now()>& now);
  void BeginBurial(const Bury& bury);
  void BeginDiscard(const DiscardWork& discard);
  void BeginRemoval(const RemoveDeadLetter& removal);

  Sockets& sockets_;
  PeerBook& peers_;
  MediaStore& media_;
  const MediaInventory& inventory_;
  FileThread& files_;
  // Jobs whose burial was begun and not reported yet. A dispatcher that is made anew asks for them
  // again; twice at the same time would be once after the logs are gone.
  std::unordered_set<std::string> burying_;
  std::vector<Burial> buried_;
};

}  // namespace millrace::broker
