import java.nio.ByteBuffer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** A lead as it is stored: score at the moment of the run, count, microseconds of its latest event. */
record Lead(double score, long count, long lastUs) {
    static final Lead NOBODY = new Lead(0, 0, 0);

    static Serde<Lead> serde() {
        return Serdes.serdeFrom(
                (topic, lead) -> lead == null ? null : ByteBuffer.allocate(24)
                        .putDouble(lead.score).putLong(lead.count).putLong(lead.lastUs).array(),
                (topic, bytes) -> bytes == null ? null : decoded(ByteBuffer.wrap(bytes)));
    }

    private static Lead decoded(ByteBuffer buffer) {
        return new Lead(buffer.getDouble(), buffer.getLong(), buffer.getLong());
    }
}
