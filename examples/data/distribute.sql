-- Share a total out among the clients valid on a day, to the cent; the first ones get the odd cents.
-- What it is given: %(run)s, %(name)s, %(as_of)s, %(total_cents)s.
WITH recipient AS MATERIALIZED (
    SELECT id, row_number() OVER (ORDER BY id) AS position, count(*) OVER () AS total
      FROM public.clients
     WHERE valid_from <= %(as_of)s::date AND (valid_until IS NULL OR valid_until >= %(as_of)s::date)
), distribution AS (
    INSERT INTO public.distributions (run_id, name, as_of, total_cents, recipients)
    SELECT %(run)s::uuid, %(name)s, %(as_of)s::date, %(total_cents)s::bigint, count(*) FROM recipient HAVING count(*) > 0
    RETURNING id, total_cents, run_id
)
INSERT INTO public.results (distribution_id, client_id, share_cents, run_id)
SELECT distribution.id, recipient.id, total_cents / total + (position <= total_cents %% total)::int, run_id
  FROM distribution CROSS JOIN recipient;
