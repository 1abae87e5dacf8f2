-- Tells sio-authd of each session that is deleted, so that its sockets close at once and not at the next poll.
--
-- For the tables of @auth/pg-adapter (sessions) and of Prisma ("Session"): whichever is in the search path, or both. With
-- other names of table or token, change them below. May be run again. The channel carries SHA-256 of the token, never the
-- token.
CREATE OR REPLACE FUNCTION sio_session_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('sio_revoke', 'session:' || encode(sha256(convert_to(OLD."sessionToken", 'UTF8')), 'hex'));
    RETURN NULL;
END
$$;

DO $$
BEGIN
    IF to_regclass('sessions') IS NOT NULL THEN
        DROP TRIGGER IF EXISTS sio_session_deleted ON sessions;
        CREATE TRIGGER sio_session_deleted AFTER DELETE ON sessions
            FOR EACH ROW EXECUTE FUNCTION sio_session_deleted();
    END IF;
    IF to_regclass('"Session"') IS NOT NULL THEN
        DROP TRIGGER IF EXISTS sio_session_deleted ON "Session";
        CREATE TRIGGER sio_session_deleted AFTER DELETE ON "Session"
            FOR EACH ROW EXECUTE FUNCTION sio_session_deleted();
    END IF;
END
$$;
