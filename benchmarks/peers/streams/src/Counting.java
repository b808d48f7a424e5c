import java.time.Duration;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

/** The work: validate, drop what is known, rules, decayed sum, and a record downstream when a lead crosses. */
final class Counting implements Processor<String, byte[], String, String> {
    private final Peer peer;
    private ProcessorContext<String, String> context;
    private KeyValueStore<String, byte[]> seen;
    private KeyValueStore<String, Lead> leads;
    private SinkStore sink;

    Counting(Peer peer) {
        this.peer = peer;
    }

    @Override
    public void init(ProcessorContext<String, String> given) {
        context = given;
        seen = given.getStateStore("seen");
        leads = given.getStateStore("leads");
        sink = peer.postgres == null ? null : given.getStateStore("sink");
        if (sink != null) {
            writeAgain();
            given.schedule(Duration.ofSeconds(1), PunctuationType.WALL_CLOCK_TIME, now -> sink.flush());
        }
    }

    /** State is whole again here, whatever has happened; the table may lag behind it, by what was not yet written. */
    private void writeAgain() {
        try (KeyValueIterator<String, Lead> all = leads.all()) {
            all.forEachRemaining(lead -> sink.put(lead.key, lead.value));
        }
    }

    @Override
    public void process(Record<String, byte[]> record) {
        peer.began();
        count(record);
        peer.one();
    }

    private void count(Record<String, byte[]> record) {
        Rules.Event event = Rules.read(record.value());
        if (event == null || seen.get(event.id()) != null) {
            return;
        }
        Lead known = leads.get(record.key());
        Lead before = known == null ? Lead.NOBODY : known;
        Lead after = new Lead(
                before.score() + Rules.worth(event, peer.asOfUs),
                before.count() + 1,
                Math.max(before.lastUs(), event.occurredUs()));
        // The lead before its known event, and the crossing before both: of their topics one can be lost by a kill, and
        // what promises at least once had better count and tell twice than never.
        if (before.score() < Rules.CROSSED_AT && after.score() >= Rules.CROSSED_AT) {
            context.forward(new Record<>(record.key(), event.id(), record.timestamp()));
        }
        leads.put(record.key(), after);
        seen.put(event.id(), new byte[] {1});
        if (sink != null) {
            sink.put(record.key(), after);
        }
    }
}
