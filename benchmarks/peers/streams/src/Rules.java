import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.time.DateTimeException;
import java.time.OffsetDateTime;
import java.util.Set;
import java.util.regex.Pattern;

/** The 25 rules of model.yaml by hand, and the record read and checked: what rules.py is to the Python engines. */
final class Rules {
    static final double CROSSED_AT = 50.0;
    private static final double HALF_LIFE_US = 14.0 * 86_400 * 1_000_000;
    private static final ObjectReader READER = new ObjectMapper().reader();
    private static final Pattern TYPE = Pattern.compile("[a-z][a-z0-9_]{0,63}");
    private static final Pattern OFFER = Pattern.compile("/(offer|quote|pricing)\\b", Pattern.CASE_INSENSITIVE);
    private static final Set<String> PRODUCT = Set.of("/product", "/product/tour", "/integrations", "/security");
    private static final Set<String> PAID = Set.of("cpc", "paid_social");
    private static final Set<String> KEY_FEATURES = Set.of("export", "api", "single_sign_on");

    record Event(String id, String source, String type, long occurredUs, JsonNode properties) {}

    /** The event in a record, or null if that is invalid. */
    static Event read(byte[] body) {
        try {
            JsonNode data = READER.readTree(body).path("data");
            String id = data.path("id").textValue();
            String source = data.path("source").textValue();
            String type = data.path("type").textValue();
            String time = data.path("occurred_at").textValue();
            JsonNode properties = data.path("properties");
            if (isNot(id, 512) || isNot(source, 128) || type == null || time == null || !properties.isObject()
                    || !TYPE.matcher(type).matches()) {
                return null;
            }
            OffsetDateTime at = OffsetDateTime.parse(time);
            return new Event(id, source, type, at.toEpochSecond() * 1_000_000 + at.getNano() / 1000, properties);
        } catch (IOException | DateTimeException invalid) {
            return null;
        }
    }

    private static boolean isNot(String name, int longest) {
        return name == null || name.isEmpty() || name.length() > longest;
    }

    /** What one event is worth at the moment of the run. */
    static double worth(Event event, long asOfUs) {
        return points(event) * Math.pow(2.0, (event.occurredUs() - asOfUs) / HALF_LIFE_US);
    }

    static double points(Event event) {
        JsonNode given = event.properties();
        return switch (event.type()) {
            case "page_viewed" -> pageViewed(given, event.source());
            case "email_opened" -> isTrue(given, "machine") ? 0 : 1;
            case "email_clicked" -> emailClicked(given);
            case "email_replied" -> 12;
            case "content_downloaded" -> 6;
            case "webinar_registered" -> 3;
            case "webinar_attended" -> number(given.path("minutes")) >= 15 ? 12 : 0;
            case "form_submitted" -> wantsUs(given) ? 16 : 6;
            case "demo_requested" -> 16;
            case "meeting_booked", "meeting_held", "trial_started" -> 10;
            case "meeting_canceled", "meeting_no_show" -> 0.5;
            case "feature_used" -> KEY_FEATURES.contains(text(given, "feature")) ? 6 : 2;
            case "colleague_invited" -> 8;
            case "unsubscribed", "spam_complaint" -> 0.25;
            case "bounced" -> text(given, "bounce_class").equals("hard") ? 0.25 : 0;
            default -> 0;
        };
    }

    private static double pageViewed(JsonNode given, String source) {
        String path = text(given, "path");
        double points = path.startsWith("/careers") ? 0.25 : 1;
        points += path.startsWith("/pricing") ? 6 : 0;
        points += PRODUCT.contains(path) ? 2 : 0;
        points += source.equals("web") && path.startsWith("/docs") ? 2 : 0;
        points += number(given.path("duration_seconds")) >= 120 ? 2 : 0;
        return points + (PAID.contains(text(given.path("campaign"), "medium")) ? 1 : 0);
    }

    private static double emailClicked(JsonNode given) {
        double points = isTrue(given, "machine") ? 0 : 3;
        return points + (OFFER.matcher(text(given, "url")).find() ? 5 : 0);
    }

    private static boolean wantsUs(JsonNode given) {
        return text(given, "form").equals("contact") || text(given, "message").contains("demo");
    }

    private static boolean isTrue(JsonNode from, String name) {
        return from.path(name).booleanValue();
    }

    private static String text(JsonNode from, String name) {
        String found = from.path(name).textValue();
        return found == null ? "" : found;
    }

    private static double number(JsonNode node) {
        return node.isNumber() ? node.doubleValue() : 0;
    }
}
