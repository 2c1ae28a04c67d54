-- What is there: the columns of every table that the exporter may have made, with their types.
SELECT table, name, type FROM system.columns WHERE database = {database:String} AND table IN {tables:Array(String)}
{{limits}}
