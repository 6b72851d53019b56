with found as (
    select * from indicator_correlations
),

renamed as (
    select
        market,
        period,
        indicator,
        other,
        correlation
    from found
)

select * from renamed
