import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
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
    }

    @Override
    public void process(Record<String, byte[]> record) {
        peer.began();
        count(record);
        peer.one();
    }

    private void count(Record<String, byte[]> record) {
        Rules.Event event = Rules.read(record.value());
        if (event == null || seen.putIfAbsent(event.id(), new byte[] {1}) != null) {
            return;
        }
        Lead known = leads.get(record.key());
        Lead before = known == null ? Lead.NOBODY : known;
        Lead after = new Lead(
                before.score() + Rules.worth(event, peer.asOfUs),
                before.count() + 1,
                Math.max(before.lastUs(), event.occurredUs()));
        leads.put(record.key(), after);
        if (sink != null) {
            sink.put(record.key(), after);
        }
        if (before.score() < Rules.CROSSED_AT && after.score() >= Rules.CROSSED_AT) {
            context.forward(new Record<>(record.key(), event.id(), record.timestamp()));
        }
    }
}
