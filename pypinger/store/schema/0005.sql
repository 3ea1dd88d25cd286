-- When the latest run began, by the report, beside `figure`, its lastrun. Null if the report does not say.
ALTER TABLE task ADD COLUMN began REAL;
ALTER TABLE run ADD COLUMN began REAL;
