with recording as (
    select * from recording
),

renamed as (
    select
        market,
        session,
        files,
        bytes / 1e6 as megabytes,
        records,
        complete,
        damage
    from recording
)

select * from renamed
